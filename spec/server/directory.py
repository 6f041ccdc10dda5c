"""A directory of a test's own, in which the tools of the binary are run."""

import os
import shutil
import subprocess
import tempfile

import harness
from harness import BINARY, SCALE, Case


class Directory(Case):
    """Tools run in a directory of the test's own."""

    def setUp(self):
        super().setUp()
        self.dir = tempfile.mkdtemp(prefix="lunadns-tools-")
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.dir, name)

    def write(self, name, text):
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        with open(self.path(name), "w") as f:
            f.write(text)

    def read(self, name):
        with open(self.path(name)) as f:
            return f.read()

    def tool(self, *args, cwd=None, stdin="", env=None, command=None, timeout=60):
        """Runs the binary (or another command) here: (code, stdout, stderr)."""
        full = {k: v for k, v in os.environ.items() if not k.startswith("LUNADNS")}
        full.update(env or {})
        done = subprocess.run([*(command or [BINARY]), *args], cwd=cwd or self.dir, input=stdin, env=full,
                              capture_output=True, text=True, timeout=timeout * SCALE)
        self.assertIsNone(harness.SANITIZER_REPORT.search(done.stderr), done.stderr)
        self.assertGreaterEqual(done.returncode, 0, f"ended by signal: {done.stderr}")
        return done.returncode, done.stdout, done.stderr
