"""``python -m dcn_deploy.cli``."""

from . import main

main()
