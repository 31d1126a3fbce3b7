# shellcheck shell=bash disable=SC2154 # the variables are those of hack/cluster
# Sourced by hack/cluster: volumes of a real, limited size, so that "too little space" means what it says.

# make_volume NAME SIZE_MB: an ext4 file system of that size in a sparse file, and a PersistentVolume on it.
make_volume() {
    local name=$1 size_mb=$2 image=$state/volumes/$1.img mount_point=$state/volumes/$1
    [[ $name =~ ^[a-z0-9]([-a-z0-9]*[a-z0-9])?$ ]] || die "'$name' is no name of a volume" "lower case letters, digits, dashes"
    [[ $size_mb =~ ^[1-9][0-9]*$ ]] || die "'$size_mb' is no size in megabytes"
    if ! mountpoint -q "$mount_point"; then
        mkdir -p "$mount_point"
        truncate --size "${size_mb}M" "$image"
        mkfs.ext4 -q -m 0 "$image"
        mount -o loop "$image" "$mount_point"
        # initdb refuses a directory that is not empty, and a volume's root may be the data directory.
        rmdir "$mount_point/lost+found"
    fi
    apply_volume "$name" "$size_mb" "$mount_point"
}

apply_volume() {
    kubectl --kubeconfig "$state/admin.conf" apply -f - <<YAML
apiVersion: v1
kind: PersistentVolume
metadata:
  name: $1
spec:
  # A class of its own: no claim but one that names it can take the volume.
  storageClassName: $1
  capacity: { storage: $2Mi }
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Retain
  local: { path: $3 }
  nodeAffinity:
    required:
      nodeSelectorTerms:
        - matchExpressions:
            - { key: kubernetes.io/hostname, operator: In, values: [$node_name] }
YAML
}

# delete_volume NAME: the volume, its data and its PersistentVolume; a claim on it is left without a volume.
delete_volume() {
    local name=$1 mount_point=$state/volumes/$1
    # A bound volume is protected until its claim is gone; this is a test cluster, so the protection is taken off.
    kubectl --kubeconfig "$state/admin.conf" delete persistentvolume "$name" --ignore-not-found --wait=false
    kubectl --kubeconfig "$state/admin.conf" patch persistentvolume "$name" --type=merge \
        --patch '{"metadata":{"finalizers":null}}' 2>/dev/null || true
    ! mountpoint -q "$mount_point" || umount "$mount_point" || umount --lazy "$mount_point"
    rm -rf "$mount_point" "$mount_point.img"
}
