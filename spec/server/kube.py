"""Where the tests of the Kubernetes watch find the fake API server and the fixture."""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "kubernetes"), os.path.join(HERE, "..", "kubernetes", "fake")]
