"""`python -m show1`."""

from show1.cli import main

main()
