"""The store's tables: schemas, Parquet parts, the attempt rule, SQL."""
