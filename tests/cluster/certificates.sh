# shellcheck shell=bash disable=SC2154 # the variables are those of hack/cluster
# Sourced by hack/cluster: the cluster's certificate authority, certificates and kubeconfig files, valid for 30 days.

make_key() {
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1"
}

make_authority() {
    make_key "$pki/ca.key"
    openssl req -x509 -new -key "$pki/ca.key" -days 30 -subj "/CN=dbrestore-cluster" -out "$pki/ca.crt"
}

# make_certificate NAME SUBJECT USAGE [ALTERNATIVE NAMES]
make_certificate() {
    local name=$1 subject=$2 usage=$3 names=${4-}
    make_key "$pki/$name.key"
    openssl req -new -key "$pki/$name.key" -subj "$subject" -out "$pki/$name.csr"
    openssl x509 -req -in "$pki/$name.csr" -CA "$pki/ca.crt" -CAkey "$pki/ca.key" -CAcreateserial -days 30 \
        -out "$pki/$name.crt" -extfile <(
            echo "keyUsage=critical,digitalSignature"
            echo "extendedKeyUsage=$usage"
            [[ -z $names ]] || echo "subjectAltName=$names"
        )
    rm "$pki/$name.csr"
}

# make_kubeconfig NAME: client access by certificate NAME, everything embedded so that the file can be copied.
make_kubeconfig() {
    local name=$1
    cat >"$state/$name.conf" <<YAML
apiVersion: v1
kind: Config
clusters:
  - name: dbrestore
    cluster:
      server: $api_server
      certificate-authority-data: $(base64 -w0 "$pki/ca.crt")
users:
  - name: $name
    user:
      client-certificate-data: $(base64 -w0 "$pki/$name.crt")
      client-key-data: $(base64 -w0 "$pki/$name.key")
contexts:
  - name: dbrestore
    context: { cluster: dbrestore, user: $name }
current-context: dbrestore
YAML
}

make_serving_certificate() {
    make_certificate apiserver "/CN=kube-apiserver" serverAuth \
        "DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local,DNS:localhost,IP:10.96.0.1,IP:127.0.0.1,IP:$node_address"
}

renew_certificate() {
    umask 077
    make_serving_certificate
}

make_certificates() {
    local name
    umask 077
    mkdir -p "$pki"
    make_authority
    make_serving_certificate
    make_certificate apiserver-kubelet-client "/O=system:masters/CN=kube-apiserver-kubelet-client" clientAuth
    make_certificate admin "/O=system:masters/CN=admin" clientAuth
    make_certificate kube-controller-manager "/CN=system:kube-controller-manager" clientAuth
    make_certificate kube-scheduler "/CN=system:kube-scheduler" clientAuth
    make_certificate kube-proxy "/CN=system:kube-proxy" clientAuth
    make_certificate kubelet "/O=system:nodes/CN=system:node:$node_name" clientAuth
    make_key "$pki/service-account.key"
    openssl pkey -in "$pki/service-account.key" -pubout -out "$pki/service-account.pub"
    for name in admin kube-controller-manager kube-scheduler kube-proxy kubelet; do
        make_kubeconfig "$name"
    done
}
