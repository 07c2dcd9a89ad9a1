"""``python -m onlygood`` is the console script."""

from onlygood.deploy.cli import main

main()
