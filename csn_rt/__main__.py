"""`python -m csn_rt` is `csn-rt`."""

from csn_rt.cli import main

main()
