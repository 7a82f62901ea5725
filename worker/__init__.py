"""An asynchronous root-cause-analysis worker: incidents in, evidenced reports out."""
