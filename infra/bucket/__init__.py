"""`python -m infra.bucket`: one S3 bucket in its wanted state, and one narrow IAM policy per role."""
