"""How the watch finds the API server and who it says it is: service account, `endpoint` and `tls`, kubeconfig.
kubernetes.md 3.4, case 112."""

import base64
import json
import os
import shutil
import tempfile

import harness
import kube  # noqa: F401 (finds the modules below)
from watcher import Authority, WatchCase, wait_until


class CredentialCase(WatchCase):
    def setUp(self):
        super().setUp()
        self.folder = tempfile.mkdtemp(prefix="lunadns-kube-")
        self.addCleanup(shutil.rmtree, self.folder)

    def write(self, name, text, mode=0o600):
        path = os.path.join(self.folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path + ".new", "w") as f:
            f.write(text)
        os.chmod(path + ".new", mode)
        os.rename(path + ".new", path)
        return path

    def authority(self, name="ca"):
        os.makedirs(os.path.join(self.folder, name))
        return Authority(os.path.join(self.folder, name))

    def refused(self, pattern, **options):
        """Does not start, with this text."""
        w = self.watcher(None, **options)
        self.assertEqual(w.wait(), 2)
        self.assertRegex(w.err, pattern)


class ServiceAccount(CredentialCase):
    def start(self, api, token="first", ca=None, **options):
        self.write("account/token", token + "\n")
        if ca:
            shutil.copy(ca, os.path.join(self.folder, "account", "ca.crt"))
        return self.watcher(None, account=os.path.join(self.folder, "account"), **options,
                            env={"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(api.port)})

    def test_in_a_cluster(self):
        ca = self.authority()
        api = self.api(certificate=ca.certificate(), accepted=["Bearer first"])
        w = self.start(api, ca=ca.ca).synced()
        self.agrees(api, w)
        self.arrives(api, w)
        self.assertEqual(w.log("."), [])
        w.stop()

    def test_a_token_that_is_renewed(self):
        """Case 112: the file changes before the old token ends."""
        ca = self.authority()
        api = self.api(certificate=ca.certificate(), accepted=["Bearer first"])
        w = self.start(api, ca=ca.ca).synced()
        self.write("account/token", "second")
        api.options.accepted = ["Bearer second"]
        self.arrives(api, w)  # on the watch that is open
        api.cut()
        self.arrives(api, w)
        self.assertEqual(w.count_log(": 401 "), 0)

    def test_a_token_that_has_expired(self):
        ca = self.authority()
        api = self.api(certificate=ca.certificate(), accepted=["Bearer second"])
        w = self.start(api, ca=ca.ca)
        w.expect(r"^\[ERROR\] plugin/kubernetes: the API server at 127.0.0.1:\d+ does not accept our credentials: "
                 "401 Unauthorized")
        wait_until(lambda: len(api.served()) > 12)
        self.assertEqual(w.count_log(": 401 "), 1)
        self.write("account/token", "second")
        w.synced()

    def test_a_certificate_authority_that_is_replaced(self):
        """Case 112."""
        old, new = self.authority("old"), self.authority("new")
        api = self.api(certificate=old.certificate())
        w = self.start(api, ca=old.ca).synced()
        self.arrives(api, w)
        api.use_certificate(new.certificate())
        api.cut()
        w.expect("cannot reach the API server: .*certificate.*; names are answered from the last known data")
        shutil.copy(new.ca, os.path.join(self.folder, "account", "ca.crt"))
        self.arrives(api, w)
        self.assertEqual(w.count_log("^begin services"), 1)

    def test_a_token_that_is_gone(self):
        """What was read last is used."""
        ca = self.authority()
        api = self.api(certificate=ca.certificate(), accepted=["Bearer first"])
        w = self.start(api, ca=ca.ca).synced()
        os.unlink(os.path.join(self.folder, "account", "token"))
        api.cut()
        self.arrives(api, w)
        self.assertEqual(w.count_log("bearer token: .*account/token: No such file or directory; what was read before is used"), 1)
        self.write("account/token", "")
        api.cut()
        self.arrives(api, w)
        self.assertEqual(w.count_log("account/token is empty"), 1)

    def test_outside_a_cluster(self):
        self.refused("KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT must be defined", env={"KUBERNETES_SERVICE_HOST": ""})

    def test_without_a_token(self):
        self.refused("bearer token: .*/token: No such file", account=self.folder,
                     env={"KUBERNETES_SERVICE_HOST": "::1", "KUBERNETES_SERVICE_PORT": "443"})


class Endpoint(CredentialCase):
    def test_tls_with_a_client_certificate(self):
        ca = self.authority()
        api = self.api(certificate=ca.certificate(), client_ca=ca.ca)
        cert, key = ca.certificate("DNS:client", "/O=system:masters/CN=admin")
        w = self.watcher(api, cert=cert, key=key, ca=ca.ca).synced()
        self.agrees(api, w)
        self.arrives(api, w)
        w = self.watcher(api, ca=ca.ca)
        w.expect("cannot reach the API server")
        self.assertTrue(w.running)

    def test_a_certificate_for_another_name(self):
        ca = self.authority()
        api = self.api(certificate=ca.certificate("IP:192.0.2.1,DNS:kubernetes"))
        w = self.watcher(api, ca=ca.ca)
        w.expect(r"cannot reach the API server: 127.0.0.1:\d+: .*127.0.0.1.*; there is no data yet")
        api.use_certificate(ca.certificate())
        w.synced()

    def test_a_certificate_of_an_unknown_authority(self):
        ca, other = self.authority(), self.authority("other")
        api = self.api(certificate=other.certificate())
        w = self.watcher(api, ca=ca.ca)
        w.expect("cannot reach the API server: .*certificate")
        self.lasts(0.5)
        self.assertEqual(len(w.log(".")), 1)

    def test_a_host_without_a_scheme(self):
        api = self.api()
        self.watcher(None, endpoint=f"127.0.0.1:{api.port}/").synced()

    def test_files_and_urls_that_cannot_work(self):
        self.refused("does not begin with http:// or https://", endpoint="ftp://127.0.0.1")
        self.refused("certificate authority: /nowhere/ca.pem: No such file or directory", endpoint="https://127.0.0.1",
                     ca="/nowhere/ca.pem")
        self.refused("a client certificate needs its key", endpoint="https://127.0.0.1", cert="/nowhere/cert.pem")

    def test_a_file_that_is_no_certificate(self):
        path = self.write("ca.pem", "no certificate\n")
        api = self.api(certificate=self.authority().certificate())
        w = self.watcher(api, ca=path)
        w.expect("cannot reach the API server: ")
        self.assertTrue(w.running)


class Kubeconfig(CredentialCase):
    def config(self, api=None, user="{token: first}", name="config", **cluster):
        cluster.setdefault("server", api.url if api else "https://127.0.0.1:1")
        lines = "".join(f"    {k.replace('_', '-')}: {json.dumps(v)}\n" for k, v in cluster.items())
        return self.write(name, f"""# JSON and YAML mixed, as people do
apiVersion: v1
kind: Config
current-context: main
preferences: {{}}
contexts:
- name: other
  context: {{"cluster": "nowhere", "user": "me"}}
- context:
    cluster: here
    user: me
    namespace: ns-a
  name: main
clusters:
- cluster:
{lines}  name: here
users:
- {{name: nobody, user: {{}}}}
- name: me
  user: {user}
""")

    def test_a_token(self):
        ca = self.authority()
        api = self.api(certificate=ca.certificate(), accepted=["Bearer first"])
        w = self.watcher(None, kubeconfig=self.config(api, certificate_authority=ca.ca)).synced()
        self.agrees(api, w)

    def test_data_and_relative_paths(self):
        ca = self.authority()
        api = self.api(certificate=ca.certificate(), client_ca=ca.ca)
        cert, key = ca.certificate("DNS:client")

        def data(path):
            with open(path, "rb") as f:
                return base64.b64encode(f.read()).decode()

        path = self.config(api, f"{{client-certificate-data: {data(cert)}, client-key-data: {data(key)}}}",
                           certificate_authority_data=data(ca.ca))
        self.watcher(None, kubeconfig=path).synced()
        path = self.config(api, f"{{client-certificate: ca/{os.path.basename(cert)}, client-key: ca/{os.path.basename(key)}}}",
                           certificate_authority="ca/ca.pem")
        self.watcher(None, kubeconfig=path).synced()

    def test_a_token_file_and_a_context(self):
        api = self.api(accepted=["Bearer second"])
        self.write("token", "second\n")
        path = self.config(api, "{tokenFile: token, token: first}")
        self.watcher(None, kubeconfig=path, context="main").synced()

    def test_user_and_password(self):
        api = self.api(accepted=["Basic " + base64.b64encode(b"me:secret").decode()])
        self.watcher(None, kubeconfig=self.config(api, "{username: me, password: secret}")).synced()

    def test_another_name_of_the_server(self):
        ca = self.authority()
        api = self.api(certificate=ca.certificate("DNS:kubernetes.default.svc"))
        self.watcher(None, kubeconfig=self.config(api, certificate_authority=ca.ca,
                                                  tls_server_name="kubernetes.default.svc")).synced()
        w = self.watcher(None, kubeconfig=self.config(api, certificate_authority=ca.ca, tls_server_name="other.example"))
        w.expect("cannot reach the API server: .*other.example")

    def test_a_server_that_is_not_verified(self):
        api = self.api(certificate=self.authority().certificate("DNS:x"))
        self.watcher(None, kubeconfig=self.config(api, insecure_skip_tls_verify=True)).synced()

    def test_a_proxy(self):
        api = self.api()
        self.watcher(None, kubeconfig=self.config(server="http://api.example:6443", proxy_url=api.url)).synced()
        self.assertEqual({r.headers["Host"] for r in api.served()}, {"api.example:6443"})

    def test_a_path_below_the_host(self):
        api = self.api()
        w = self.watcher(None, kubeconfig=self.config(server=api.url + "/k8s/clusters/c-1/"))
        wait_until(lambda: any(r.path.startswith("/k8s/clusters/c-1/api/v1/services") for r in api.served()))
        w.expect("knows no services: 404")

    def exec_user(self, script, version="v1"):
        path = self.write("bin/login", "#!/bin/sh\n" + script, 0o700)
        return f"""
      exec:
        apiVersion: client.authentication.k8s.io/{version}
        command: {path}
        args: [one, "two words"]
        env:
        - {{name: WHO, value: me}}
        interactiveMode: Never
"""

    def test_a_program(self):
        api = self.api(accepted=["Bearer one/two words/me/ExecCredential"])
        user = self.exec_user("""
case $KUBERNETES_EXEC_INFO in *'"kind":"ExecCredential"'*) kind=ExecCredential ;; esac
echo x >>"$(dirname "$0")/runs"
echo '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"'"$1/$2/$WHO/$kind"'"}}'
""")
        w = self.watcher(None, kubeconfig=self.config(api, user)).synced()
        api.cut()
        self.arrives(api, w)
        with open(os.path.join(self.folder, "bin", "runs")) as f:
            self.assertEqual(len(f.readlines()), 1)  # what it gave holds until it is refused
        api.options.accepted = ["Bearer other"]
        api.cut()
        w.expect("does not accept our credentials")
        wait_until(lambda: len(open(os.path.join(self.folder, "bin", "runs")).readlines()) > 1)

    def test_a_program_whose_token_expires(self):
        api = self.api()
        for expires, runs in (("2001-02-03T04:05:06.789+01:00", True), ("2101-02-03T04:05:06Z", False)):
            user = self.exec_user(f"""
n=$(cat "$(dirname "$0")/n" 2>/dev/null || echo 0); echo $((n + 1)) >"$(dirname "$0")/n"
echo '{{"kind":"ExecCredential","status":{{"token":"t'$n'","expirationTimestamp":"{expires}"}}}}'
""", "v1beta1")
            w = self.watcher(None, kubeconfig=self.config(api, user)).synced()
            w.stop()
            self.assertEqual(len({r.headers["Authorization"] for r in api.served()}), 3 if runs else 1)
            api.requests.clear()

    def test_programs_that_fail(self):
        for script, text in (("exit 3", "ended with exit code 3"), ("kill -9 $$", "ended with signal 9"),
                             ("echo '{}'", "it is no ExecCredential with a status"),
                             ("echo hello", "its JSON has something else where an object is expected")):
            self.refused(text, kubeconfig=self.config(None, self.exec_user(script)))
        self.refused("exec .*/nothing: No such file or directory", kubeconfig=self.config(
            None, "{exec: {apiVersion: client.authentication.k8s.io/v1, command: ./nothing}}"))

    def test_what_is_wrong_with_a_file_is_said(self):
        def wrong(text, pattern, **options):
            path = self.write("bad", text)
            self.refused(f"kubeconfig {path}: {pattern}", kubeconfig=path, **options)

        self.refused("kubeconfig /nowhere/config: No such file or directory", kubeconfig="/nowhere/config")
        wrong("", "it is empty")
        wrong("a: [", "line 2: did not find")
        wrong("kind: Config", "it has no current-context")
        wrong("current-context: x", 'there is no context "x"')
        with open(self.config(None)) as f:
            good = f.read()
        wrong(good, 'there is no context "gone"', context="gone")
        wrong(good, 'there is no cluster "nowhere"', context="other")
        wrong(good.replace("    server:", "    severs:"), 'the cluster "here" has no server')
        wrong(good.replace("- name: me", "- name: you"), 'there is no user "me"')
        wrong(good.replace("{token: first}", "{token: [1]}"), r"line \d+: token: expected a text")
        wrong(good.replace("{token: first}", "{client-key-data: '%%%'}"), "client-key-data is no base64")
        wrong(good.replace("{token: first}", "{auth-provider: {name: gcp}}"), "auth-provider is no longer part of Kubernetes")
        wrong(good.replace("{token: first}", "{exec: {command: x, apiVersion: v0}}"), "exec: apiVersion v0: expected")

    def test_a_token_with_a_line_end_is_refused(self):
        self.refused("the bearer token.* has several lines",
                     kubeconfig=self.config(None, '{token: "a\\r\\nX-Remote-User: admin"}'))
