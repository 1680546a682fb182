"""python -m hiu_tf: the command `hiu`."""

import sys

from hiu_tf.cli import main

sys.exit(main())
