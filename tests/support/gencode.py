"""The modules made from `centrifuge.proto`: `python -m tests.support.gencode` writes them."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROTO = Path("csn_rt/wire/centrifuge.proto")
GENERATED = [PROTO.with_name("centrifuge_pb2.py"), PROTO.with_name("centrifuge_pb2.pyi")]


def generate(into: Path) -> None:
    """Write both files to where they belong below `into`."""
    outputs = [f"--python_out={into}", f"--pyi_out={into}"]
    protoc = [sys.executable, "-m", "grpc_tools.protoc", "--proto_path=.", *outputs, str(PROTO)]
    subprocess.run(protoc, cwd=ROOT, check=True, timeout=60)


if __name__ == "__main__":
    generate(ROOT)
