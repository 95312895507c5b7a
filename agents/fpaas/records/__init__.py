"""The files that agents write: for each its type, its one writer and its one reader."""
