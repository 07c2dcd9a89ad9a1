"""``python -m onlygood`` is the console script."""

from onlygood.deploy.entry import main

main()
