import os

# transformers draws bars of its own over ours. Read when tqdm is imported, which torch does.
os.environ.setdefault("TQDM_DISABLE", "1")
