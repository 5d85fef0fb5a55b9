import os

# Without this, transformers draws progress bars over ours. tqdm reads it on import, and torch imports tqdm.
os.environ.setdefault("TQDM_DISABLE", "1")
