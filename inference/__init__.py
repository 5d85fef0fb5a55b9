import os

# transformers would draw its bars over ours. Read when tqdm is imported, which torch does.
os.environ.setdefault("TQDM_DISABLE", "1")
