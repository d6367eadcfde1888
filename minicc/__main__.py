"""`python -m minicc`."""

from minicc.cli import main

main()
