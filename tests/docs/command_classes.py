"""What becomes of each shell command of README and docs: it runs in a test, or a reason says why it does not."""

from __future__ import annotations


def _lines(*texts: str) -> tuple[str, ...]:
    return tuple(line for text in texts for line in text.strip().splitlines())


RUN_HERE = _lines(
    """
tatsnet restore photo.jpg --denoise 0.4 -o out.png
tatsnet restore photo.jpg --deblur 0.5 --denoise 0.3 --dejpeg 0 -o out.png
tatsnet restore holiday/ 'more/*.jpg' --denoise 0.4 -o restored --compare
tatsnet restore holiday/ --dejpeg 0.5 --format png -o restored
tatsnet restore holiday/*.jpg --denoise 0.2 --in-place
tatsnet effects photo.jpg -o effects
tatsnet models
tatsnet export models/pruned/knee -o onnx
python examples/onnx_restore.py onnx photo.jpg out.png 0.5 0.5 0
tatsnet train dense photos/ -o runs/dense --width 32 --blocks 16 --iterations 20000
tatsnet train search photos/ --from runs/dense -o runs/found --lambda1 2e-3 --lambda2 2e-2 --iterations 20000
tatsnet train finetune photos/ --from runs/found -o runs/tuned --iterations 10000
tatsnet extract runs/tuned -o models/mine
tatsnet sliders models/mine photos/
tatsnet flops --model models/mine --size 1280x720
tatsnet restore photo.jpg --model models/mine --denoise 0.4 --even -o out.png
python -m pipeline plan --params profiles/paper.yaml
python -m pipeline plan
dvc remote add --default bucket s3://NAME/PREFIX/dvc
dvc remote modify bucket connect_timeout 10
mkdir -p -m 700 .state/mlflow
for name in superuser_password postgres_password mlflow_password flask_key; do \
openssl rand -hex 32 > .state/mlflow/$name; done
chmod 444 .state/mlflow/*
export TATSNET_HOST=mlflow.example.org TATSNET_ARTIFACTS=s3://NAME/PREFIX/mlflow AWS_DEFAULT_REGION=eu-central-1
"""
)

_SHORT = "--patch 32 --batch 2 --valid 1 --iterations 20"
SHORTENED = {
    "tatsnet train dense": f"{_SHORT} --width 8 --blocks 1",
    "tatsnet train search": f"{_SHORT} --min-channels 2",
    "tatsnet train finetune": _SHORT,
    "tatsnet sliders": "--count 2",
}
"""Options added to commands that begin so: a later option overrides an earlier one."""

NOT_HERE = {
    "the test of the stages, tests/slow/test_pipeline.py": _lines(
        """
make repro
dvc repro
dvc repro search
"""
    ),
    "a server; in a browser in tests/slow/test_demo.py": _lines(
        """
tatsnet demo photo.jpg
tatsnet demo photo.jpg --model models/mine
"""
    ),
    "a server; in a browser in tests/slow/test_pareto_view.py": ("make ui",),
    "needs a finished search: tests/slow/test_pick.py": _lines(
        """
python -m pipeline pick 6
python -m pipeline pick 6 --study 1a2b3c4d
"""
    ),
    "needs a registered model: tests/slow/test_registry.py": _lines(
        """
python -m pipeline promote tatsnet@knee champion
tatsnet restore photo.jpg --model models:/tatsnet@champion --deblur 0.5 -o out.png
mlflow models serve -m models:/tatsnet@champion --env-manager local
"""
    ),
    "needs a report: tests/pipeline/test_summary.py": ("python -m pipeline summary",),
    "needs a repository and a report: tests/slow/test_current.py": ("dvc status benchmark",),
    "needs an earlier search: tests/pipeline/search/test_warm_start.py": (
        "python -m pipeline warm-start ../earlier/search/trials.json",
    ),
    "needs an earlier study: tests/pipeline/search/test_kept.py": ("python -m pipeline keep-study",),
    "brings up servers: tests/slow/test_box.py": _lines(
        """
python -m infra.box run
python -m infra.box run -- dvc repro search
python -m infra.box up
. .state/box/env.sh
python -m infra.box status
python -m infra.box down
MLFLOW_TRACKING_URI=https://... dvc repro
RAY_ADDRESS=head:6379 RAY_AUTH_MODE=token dvc repro search
"""
    ),
    "trains until a search is done: tests/slow/test_worker.py": ("python -m pipeline worker",),
    "needs Postgres: tests/slow/test_box.py": (
        "export TATSNET_STUDY=postgresql+psycopg2://driver@host/tatsnet",
        "export TATSNET_STORE=s3://NAME/PREFIX",
    ),
    "needs Slurm: tests/slow/test_slurm.py": _lines(
        """
jid=$(sbatch --parsable --array=0-7 infra/slurm/workers.sbatch)
sbatch --dependency=afterok:$jid --cpus-per-task=4 --wrap "dvc repro"
sbatch infra/slurm/train.sbatch dense photos/ -o runs/dense --iterations 150000
"""
    ),
    "needs an S3 server: tests/slow/test_bucket.py": _lines(
        """
python -m infra.bucket s3://NAME/PREFIX --region eu-central-1 --dry-run --policies policies
python -m infra.bucket s3://NAME/PREFIX --region eu-central-1 --policies policies
"""
    ),
    "needs an S3 server: tests/slow/test_dvc_remote.py": (
        "dvc push",
        "dvc pull",
        "dvc pull data/clean data/train data/eval models/supernet",
    ),
    "needs Docker; tests/infra/test_containers.py reads the files": _lines(
        """
docker compose -f infra/mlflow/compose.yaml up -d --build
docker build -f infra/Dockerfile -t REGISTRY/tatsnet:0.1.0 .
docker build -f infra/Dockerfile --build-arg TORCH_INDEX=... -t REGISTRY/tatsnet:0.1.0 .
"""
    ),
    "needs AWS; tests/infra/test_aws.py reads the files": _lines(
        """
aws cloudformation deploy --stack-name tatsnet --template-file infra/aws/ground.yaml --capabilities CAPABILITY_IAM \
--parameter-overrides Vpc=vpc-... SshFrom=203.0.113.7/32 DriverPolicy=arn:... DvcPolicy=arn:... WorkerPolicy=arn:...
aws cloudformation describe-stacks --stack-name tatsnet --query 'Stacks[0].Outputs'
cd /srv/tatsnet
dvc remote add --local --default bucket s3://NAME/PREFIX/dvc
export RAY_ADDRESS=127.0.0.1:6379 TATSNET_STORE=s3://NAME/PREFIX TATSNET_STUDY=postgresql+psycopg2://... \
MLFLOW_TRACKING_URI=https://mlflow.example.org MLFLOW_TRACKING_USERNAME=... PGPASSFILE=...
read -rs MLFLOW_TRACKING_PASSWORD
export MLFLOW_TRACKING_PASSWORD
dvc repro --pull search
dvc push --run-cache
"""
    ),
    "needs Kubernetes; tests/infra/test_kuberay.py reads the files": _lines(
        """
kubectl apply -f infra/kuberay/access.yaml
kubectl -n tatsnet create secret generic tatsnet-mlflow --from-file=username=FILE --from-file=password=FILE
kubectl -n tatsnet create secret generic tatsnet-study --from-file=url=FILE
kubectl apply -f infra/kuberay/rayjob.yaml
kubectl -n tatsnet get rayjob tatsnet-search -w
"""
    ),
    "measures for minutes to hours; tests/tatsnet/timing and tests/benchmarks/test_all.py": _lines(
        """
python -m benchmarks.full_protocol PHOTOS --every 8 --networks standard unsharp bilateral nlm
python -m benchmarks.full_protocol PHOTOS --every 8 --networks dense --oracle-only
tatsnet bench
tatsnet bench --size 480x320 --runtime numba --runtime openvino --pattern architecture.json
tatsnet bench --size 480x320 --runtime numba --rounds 7 --json table.json
python -m benchmarks.kernels --precision bfloat16 --capability 90
python -m benchmarks.memory --json memory.json
python -m benchmarks.searchers record --out OUT --trials 12
python -m benchmarks.searchers report --out OUT
"""
    ),
    "installs; tests/tatsnet/test_package.py builds and reads the wheel": (
        "pip install .",
        "make setup",
        "apt-get install postgresql",
    ),
    "tests": _lines(
        """
make test
pytest tests/tatsnet/data
pytest tests/pipeline/sources tests/pipeline/test_plan.py tests/contracts
"""
    ),
    "of a shell or a desktop alone": (
        ". .venv/bin/activate",
        "open reports/index.html",
        "cp profiles/paper.yaml params.yaml",
        "cp profiles/bsds.yaml params.yaml",
    ),
}
"""By reason: why commands do not run here, and which test stands in for them."""
