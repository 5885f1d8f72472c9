"""`python -m deploy.local`."""

from deploy.local.cli import main
from deploy.local.leave import leave

if __name__ == "__main__":
    leave(main())
