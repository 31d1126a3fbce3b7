# shellcheck shell=bash disable=SC2154 # the variables are those of hack/cluster
# Sourced by hack/cluster: what the cluster changes on this machine, and how each change is taken back.

# Directories that Kubernetes, containerd and CNI use whatever they are told, and kernel settings that kubelet and kube-proxy write.
foreign_directories=(/var/log/containers /var/log/pods /var/lib/cni /var/lib/kubelet /opt/cni
    /run/containerd /usr/libexec/kubernetes)
kernel_settings=(net.ipv4.ip_forward net.ipv4.conf.all.route_localnet vm.overcommit_memory vm.panic_on_oom kernel.panic
    kernel.panic_on_oops kernel.keys.root_maxkeys kernel.keys.root_maxbytes)

# Remembers what `down` must restore, before anything is changed.
remember_machine() {
    local directory setting
    for directory in "${foreign_directories[@]}"; do
        [[ -e $directory ]] || echo "$directory"
    done >"$run/created-directories"
    for setting in "${kernel_settings[@]}"; do
        echo "$setting=$(sysctl -n "$setting")"
    done >"$run/kernel-settings"
}

# Unpacked images are tens of thousands of small files. On a file system of their own, in one sparse file, `down` removes
# them at once.
make_image_store() {
    mkdir -p "$state/containerd"
    truncate --size 40G "$state/containerd.img"
    mkfs.ext4 -q -m 0 -O ^has_journal "$state/containerd.img"
    mount -o loop,noatime "$state/containerd.img" "$state/containerd"
}

prepare_machine() {
    remember_machine
    make_image_store
    ip address replace "$node_address/32" dev lo
    sysctl -qw net.ipv4.ip_forward=1
}

# render: the configuration files with this cluster's values.
render_configuration() {
    local file
    for file in "$root"/tests/cluster/config/*; do
        sed -e "s|@STATE@|$state|g" -e "s|@RUN@|$run|g" -e "s|@NODE_ADDRESS@|$node_address|g" \
            -e "s|@NODE_NAME@|$node_name|g" -e "s|@POD_CIDR@|$pod_cidr|g" -e "s|@BRIDGE@|$bridge|g" \
            "$file" >"$state/${file##*/}"
    done
    mkdir -p "$state/cni"
    mv "$state/cni.conflist" "$state/cni/10-dbrestore.conflist"
}

# Containers are killed through their control groups (which hold only what kubelet put there); SIGKILL also ends frozen ones.
# The shims go with them: they are known by our containerd's socket in their arguments.
kill_containers() {
    local pid
    # Twice: a process may fork between the reading and the killing.
    for _ in 1 2; do
        while read -r pid; do kill -KILL "$pid" 2>/dev/null || true; done < <(
            find /sys/fs/cgroup -path '*/kubepods*' -name cgroup.procs -exec cat {} + 2>/dev/null | sort -u
        )
    done
    for pid in $(pgrep -f -- "containerd-shim-runc-v2 .*-address $run/containerd.sock"); do
        kill -KILL "$pid" 2>/dev/null || true
    done
}

remove_control_groups() {
    local attempt
    for attempt in {1..20}; do
        find /sys/fs/cgroup -depth -type d -path '*/kubepods*' -exec rmdir {} + 2>/dev/null || true
        [[ -n $(find /sys/fs/cgroup -maxdepth 2 -type d -name kubepods) ]] || return 0
        sleep 0.1
    done
    die "control groups named kubepods remain after $attempt attempts" "see what holds them: find /sys/fs/cgroup -name kubepods"
}

unmount_everything() {
    local mount_point
    # Deepest first: a pod's volumes lie inside what is mounted for the pod.
    awk '{print $2}' /proc/self/mounts | { grep -E "^($state|$run)/" || true; } | sort -ru |
        while read -r mount_point; do
            umount "$mount_point" 2>/dev/null || umount --lazy "$mount_point" 2>/dev/null || true
        done
}

# Takes the chains of kube-proxy, kubelet and CNI out and leaves every other rule as it is.
remove_firewall_rules() {
    local family
    for family in iptables ip6tables; do
        "$family-save" 2>/dev/null | grep -vE 'KUBE-|CNI-' | "$family-restore" 2>/dev/null || true
    done
}

remove_network() {
    ip link delete "$bridge" 2>/dev/null || true
    ip address delete "$node_address/32" dev lo 2>/dev/null || true
    remove_firewall_rules
}

restore_machine() {
    local directory
    kill_containers
    unmount_everything
    remove_network
    remove_control_groups
    if [[ -e $run/kernel-settings ]]; then
        sysctl -q --load "$run/kernel-settings" || true
    fi
    if [[ -e $run/created-directories ]]; then
        while read -r directory; do rm -rf "$directory"; done <"$run/created-directories"
    fi
    rm -rf "$state" "$run"
}
