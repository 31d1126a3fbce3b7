# shellcheck shell=bash disable=SC2154 # the variables are those of hack/cluster
# Sourced by hack/cluster: builds the programs of the cluster and the pause image into the cache.

kubernetes_version=v1.34.4
kubernetes_programs=(kube-apiserver kube-controller-manager kube-scheduler kube-proxy kubelet)

# The project's own Go caches, so that `hack/cluster purge` makes a build really cold. A Go older than go.mod asks for
# fetches the right one through the module proxy (GOTOOLCHAIN=auto).
go_build() {
    local module=$1 output=$2 package=$3 link_flags=$4
    (
        cd "$root/tests/cluster/$module" || exit 1
        # GOGC: memory is cheaper than the time to collect it.
        export GOCACHE="$cache/go/build" GOMODCACHE="$cache/go/mod" GOTOOLCHAIN=auto CGO_ENABLED=0 GOGC=400
        GOFLAGS="-modcacherw -buildvcs=false" go build -trimpath -ldflags "-s -w $link_flags" -o "$output.new" "$package"
    )
    mv "$output.new" "$output"
}

kubernetes_link_flags() {
    local package minor=${kubernetes_version#v1.}
    for package in k8s.io/client-go/pkg/version k8s.io/component-base/version; do
        printf -- ' -X %s.gitVersion=%s -X %s.gitMajor=1 -X %s.gitMinor=%s' \
            "$package" "$kubernetes_version" "$package" "$package" "${minor%%.*}"
    done
}

# Helm takes the version it shows, and the Kubernetes version it assumes without a cluster, from the linker as well.
helm_link_flags() {
    local package version minor=${kubernetes_version#v1.}
    version=$(sed -n 's|^\thelm.sh/helm/v3 \(v[0-9.]*\).*|\1|p' "$root/tests/cluster/kubernetes/go.mod")
    printf -- '-X helm.sh/helm/v3/internal/version.version=%s -X helm.sh/helm/v3/internal/version.metadata=' "$version"
    for package in pkg/chartutil pkg/lint/rules; do
        printf -- ' -X helm.sh/helm/v3/%s.k8sVersionMajor=1 -X helm.sh/helm/v3/%s.k8sVersionMinor=%s' \
            "$package" "$package" "${minor%%.*}"
    done
}

build_kubernetes() {
    local program
    go_build kubernetes "$cache/bin/kubernetes" . "$(kubernetes_link_flags)"
    for program in "${kubernetes_programs[@]}"; do
        ln -sf kubernetes "$cache/bin/$program"
    done
}

build_pause_image() {
    local work container
    work=$(mktemp -d)
    gcc -static -Os -s -o "$work/pause" "$root/tests/cluster/pause/pause.c"
    container=$(project_buildah from scratch)
    project_buildah copy --quiet "$container" "$work/pause" /pause
    project_buildah config --entrypoint '["/pause"]' --user 65535:65535 "$container"
    rm -f "$cache/images/pause.tar"
    project_buildah commit --quiet --rm "$container" "oci-archive:$cache/images/pause.tar:localhost/dbrestore-pause:1"
    rm -rf "$work"
}

# build_if_changed TEXT OUTPUT INPUT COMMAND...: a build is repeated only when its inputs or its output changed.
build_if_changed() {
    local text=$1 output=$2 inputs
    inputs=$(hash_of "$root/tests/cluster/$3" "$root/tests/cluster/build.sh")
    shift 3
    if [[ ! -e $output || $(cat "$output.inputs" 2>/dev/null) != "$inputs" ]]; then
        command -v "${needed_program:-go}" >/dev/null || die "${needed_program:-go} is not installed" "run hack/install"
        step "$text" "$@"
        echo "$inputs" >"$output.inputs"
    fi
}

build_tools() {
    build_if_changed "build kubectl" "$cache/bin/kubectl" kubernetes \
        go_build kubernetes "$cache/bin/kubectl" k8s.io/kubernetes/cmd/kubectl "$(kubernetes_link_flags)"
    build_if_changed "build Helm" "$cache/bin/helm" kubernetes \
        go_build kubernetes "$cache/bin/helm" helm.sh/helm/v3/cmd/helm "$(helm_link_flags)"
    build_if_changed "build versitygw, an S3 server" "$cache/bin/versitygw" versitygw \
        go_build versitygw "$cache/bin/versitygw" github.com/versity/versitygw/cmd/versitygw ""
}

build_everything() {
    build_if_changed "build Kubernetes $kubernetes_version (about 6 minutes when cold)" "$cache/bin/kubernetes" kubernetes \
        build_kubernetes
    build_tools
    build_if_changed "build etcd" "$cache/bin/etcd" etcd go_build etcd "$cache/bin/etcd" go.etcd.io/etcd/server/v3 ""
    needed_program=buildah build_if_changed "build the pause image" "$cache/images/pause.tar" pause build_pause_image
}
