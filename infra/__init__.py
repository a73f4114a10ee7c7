"""What the pipeline stands on: the bucket, the servers, the cluster. Nothing in `pipeline` or `tatsnet` needs it."""
