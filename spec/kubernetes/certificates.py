"""Keys and certificates for a cluster, made by the openssl command."""

import os
import subprocess


def _openssl(*args):
    done = subprocess.run(["openssl", *args], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"openssl {args[0]}: {done.stderr.strip()}")


class Authority:
    """A certificate authority in a directory of its own: .cert is its certificate's file."""

    def __init__(self, directory, name="cluster-ca"):
        self.dir = directory
        os.makedirs(directory, exist_ok=True)
        self.cert, self._key = self.path("ca.crt"), self.path("ca.key")
        _openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
                 "-keyout", self._key, "-out", self.cert, "-subj", f"/CN={name}", "-addext", "keyUsage=critical,"
                 "keyCertSign,cRLSign")

    def path(self, name):
        return os.path.join(self.dir, name)

    def issue(self, file, common_name, group=None, names=()):
        """Writes file.crt and file.key and returns their paths. names: "DNS:..." and "IP:..." of a server; without
        them the certificate is a client's, of that user and group."""
        key, request, cert = self.path(file + ".key"), self.path(file + ".csr"), self.path(file + ".crt")
        usage = "serverAuth,clientAuth" if names else "clientAuth"
        extensions = ["-addext", f"extendedKeyUsage={usage}"]
        if names:
            extensions += ["-addext", "subjectAltName=" + ",".join(names)]
        subject = (f"/O={group}" if group else "") + f"/CN={common_name}"
        _openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key,
                 "-out", request, "-subj", subject, *extensions)
        _openssl("x509", "-req", "-in", request, "-CA", self.cert, "-CAkey", self._key, "-CAcreateserial", "-days",
                 "30", "-copy_extensions", "copyall", "-out", cert)
        return cert, key


def signing_key(file):
    """The key that signs service-account tokens."""
    _openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", file)
    return file
