"""A pod's service-account files, laid out and replaced as kubelet does it: through the link ..data."""

import os
import shutil


class Account:
    def __init__(self, directory, token, ca):
        self.dir, self.version, self.token, self.ca = directory, 0, token, ca
        self.write(token, ca)
        for name in ("token", "ca.crt", "namespace"):
            os.symlink(f"..data/{name}", os.path.join(directory, name))

    def write(self, token=None, ca=None):
        """Puts a new token or CA certificate (text) in place, in one step."""
        self.token, self.ca = token or self.token, ca or self.ca
        self.version += 1
        current = f"..version-{self.version}"
        folder = os.path.join(self.dir, current)
        os.mkdir(folder)
        for name, text in (("token", self.token), ("ca.crt", self.ca), ("namespace", "kube-system")):
            with open(os.path.join(folder, name), "w") as f:
                f.write(text)
        link = os.path.join(self.dir, "..data")
        os.symlink(current, link + ".new")
        os.rename(link + ".new", link)
        shutil.rmtree(os.path.join(self.dir, f"..version-{self.version - 1}"), ignore_errors=True)
