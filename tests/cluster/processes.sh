# shellcheck shell=bash disable=SC2154 # the variables are those of hack/cluster
# Sourced by hack/cluster: starts and stops the cluster's processes, each known by a pid file "pid start-time", so that a
# reused pid is never taken for ours.

start_time_of() {
    # The command name in field 2 may hold blanks; what follows its closing parenthesis does not.
    local stat fields
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
    read -ra fields <<<"${stat##*) }"
    # It has ended, and nobody has asked yet how; but not while threads of it are left, which still hold its sockets.
    [[ ${fields[0]} != Z ]] || ((fields[17] > 1)) || return 1
    echo "${fields[19]}"
}

# detached COMMAND...: with nothing that the caller holds open: its locks and pipes must not live as long as the cluster does.
detached() {
    local open
    for open in "/proc/$BASHPID/fd"/*; do
        ((${open##*/} < 3)) || eval "exec ${open##*/}>&-"
    done
    exec setsid "$@"
}

# start NAME COMMAND...: detached, with its log in the state directory.
start() {
    local name=$1 pid
    shift
    # GOGC: memory is cheaper than the time to collect it, on two processors that the tests need.
    GOGC=400 detached "$@" </dev/null >>"$state/logs/$name.log" 2>&1 &
    pid=$!
    echo "$pid $(start_time_of "$pid")" >"$run/pids/$name"
}

is_running() {
    local pid started
    read -r pid started 2>/dev/null <"$run/pids/$1" || return 1
    [[ $(start_time_of "$pid") == "$started" ]]
}

# stop NAME: SIGTERM, after 5 s SIGKILL.
stop() {
    local pid deadline=$((SECONDS + 5))
    is_running "$1" || return 0
    read -r pid _ <"$run/pids/$1"
    kill -TERM "$pid" 2>/dev/null || true
    while is_running "$1" && ((SECONDS < deadline)); do sleep 0.1; done
    ! is_running "$1" || kill -KILL "$pid" 2>/dev/null || true
    rm -f "$run/pids/$1"
}

# kill_process NAME: as a crash does it.
kill_process() {
    local pid
    is_running "$1" || die "$1 does not run" "hack/cluster start $1"
    read -r pid _ <"$run/pids/$1"
    kill -KILL "$pid"
    while is_running "$1"; do sleep 0.1; done
    rm -f "$run/pids/$1"
}

# start_process NAME: again, after a kill.
start_process() {
    ! is_running "$1" || die "$1 runs already"
    case $1 in
    etcd) start_etcd ;;
    kube-apiserver) start_api_server ;;
    kubelet) start_kubelet ;;
    *) die "$1 cannot be started alone" "etcd, kube-apiserver, kubelet" ;;
    esac
}

# wait_for SECONDS NAME COMMAND...: until COMMAND succeeds; NAME is the process whose end makes waiting pointless.
wait_for() {
    local deadline=$((SECONDS + $1)) name=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        is_running "$name" || die "$name ended: $(tail -n 5 "$state/logs/$name.log")" "the whole log is $state/logs/$name.log"
        ((SECONDS < deadline)) || die "$name is not ready: $*" "see $state/logs/$name.log"
        sleep 0.2
    done
}

start_etcd() {
    start etcd etcd --name dbrestore --data-dir "$state/etcd" --log-level warn --unsafe-no-fsync \
        --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
        --listen-peer-urls http://127.0.0.1:2380 --initial-advertise-peer-urls http://127.0.0.1:2380 \
        --initial-cluster dbrestore=http://127.0.0.1:2380
}

start_containerd() {
    start containerd containerd --config "$state/containerd.toml" --log-level warn
    wait_for 20 containerd containerd_client version
    containerd_client images import "$cache/images/pause.tar"
}

start_api_server() {
    start kube-apiserver kube-apiserver --etcd-servers=http://127.0.0.1:2379 \
        --bind-address="$node_address" --advertise-address="$node_address" --secure-port=6443 \
        --service-cluster-ip-range="$service_cidr" --allow-privileged=true \
        --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction \
        --client-ca-file="$pki/ca.crt" --tls-cert-file="$pki/apiserver.crt" --tls-private-key-file="$pki/apiserver.key" \
        --kubelet-client-certificate="$pki/apiserver-kubelet-client.crt" \
        --kubelet-client-key="$pki/apiserver-kubelet-client.key" --kubelet-preferred-address-types=InternalIP \
        --service-account-issuer=https://kubernetes.default.svc.cluster.local \
        --service-account-signing-key-file="$pki/service-account.key" \
        --service-account-key-file="$pki/service-account.pub" \
        --audit-policy-file="$state/audit-policy.yaml" --audit-log-path="$state/audit.log" \
        --audit-log-maxsize=200 --audit-log-maxbackup=2 --profiling=false
    wait_for 60 kube-apiserver kubectl --kubeconfig "$state/admin.conf" get --raw /readyz
}

start_controllers() {
    start kube-controller-manager kube-controller-manager --kubeconfig="$state/kube-controller-manager.conf" \
        --bind-address=127.0.0.1 --leader-elect=false --use-service-account-credentials=true \
        --root-ca-file="$pki/ca.crt" --service-account-private-key-file="$pki/service-account.key" \
        --authentication-kubeconfig="$state/kube-controller-manager.conf" --authentication-tolerate-lookup-failure=true \
        --authorization-kubeconfig="$state/kube-controller-manager.conf" \
        --flex-volume-plugin-dir="$state/volume-plugins" --profiling=false
    start kube-scheduler kube-scheduler --kubeconfig="$state/kube-scheduler.conf" --bind-address=127.0.0.1 \
        --authentication-kubeconfig="$state/kube-scheduler.conf" --authentication-tolerate-lookup-failure=true \
        --authorization-kubeconfig="$state/kube-scheduler.conf" --leader-elect=false --profiling=false
}

start_kubelet() {
    start kubelet kubelet --config="$state/kubelet.yaml" --kubeconfig="$state/kubelet.conf" --root-dir="$state/kubelet" \
        --cert-dir="$state/kubelet-pki" --hostname-override="$node_name" --node-ip="$node_address"
}

start_node() {
    start_kubelet
    start kube-proxy kube-proxy --config="$state/kube-proxy.yaml"
}

node_is_ready() {
    kubectl --kubeconfig "$state/admin.conf" wait --for=condition=Ready "node/$node_name" --timeout=1s
}

# A pod made before the default service account exists is refused, and without the proxy it cannot reach the API server.
cluster_is_usable() {
    node_is_ready && kubectl --kubeconfig "$state/admin.conf" get serviceaccount default &&
        iptables-save -t nat | grep -q 'default/kubernetes:https'
}

wait_until_usable() {
    wait_for 90 kubelet cluster_is_usable
}
