"""Rows: what is known, in SQL. The queue only wakes workers."""
