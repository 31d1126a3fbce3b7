# shellcheck shell=bash
# What every script under hack/ shares: where things are, how a step is shown and timed, how to stop with a hint.
# Source it: . "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${DBRESTORE_CACHE:-$HOME/.cache/dbrestore}
mkdir -p "$cache/bin" "$cache/images" "$cache/logs"
export root cache
# What one checkout compiled, another one need not compile again.
export CCACHE_DIR="$cache/ccache" CCACHE_BASEDIR="$root" CCACHE_NOHASHDIR=1
# Administrator tools (iptables, debootstrap) are not in every root's PATH.
export PATH="$cache/bin:$PATH:/usr/local/go/bin:/usr/sbin:/sbin"

# die TEXT [HINT]: says what failed and what to do about it.
die() {
    printf 'error: %s\n' "$1" >&2
    [[ -z ${2-} ]] || printf 'HINT: %s\n' "$2" >&2
    exit 1
}

# elapsed START: seconds since START (a value of EPOCHREALTIME), with one decimal below ten seconds.
elapsed() {
    local milliseconds=$(((${EPOCHREALTIME/[.,]/} - ${1/[.,]/}) / 1000))
    if ((milliseconds < 10000)); then
        printf '%d.%d s' $((milliseconds / 1000)) $((milliseconds % 1000 / 100))
    else
        printf '%d s' $((milliseconds / 1000))
    fi
}

# finish_step TEXT START STATUS: prints how long the step took; ends the script when it failed.
finish_step() {
    if (($3 == 0)); then
        printf '==> %s … %s\n' "$1" "$(elapsed "$2")"
    else
        printf '==> %s … FAILED after %s\n' "$1" "$(elapsed "$2")"
        exit "$3"
    fi
}

# step TEXT COMMAND...: runs COMMAND (a program or a function) with its output in a log that is shown only on failure.
# COMMAND runs in a subshell under `set -e`, so it cannot set variables of the caller.
step() {
    local text=$1 started=$EPOCHREALTIME status log
    shift
    log=$(mktemp "$cache/logs/step.XXXXXX")
    printf '==> %s …' "$text"
    if [[ -t 1 ]]; then printf '\r'; else printf '\n'; fi
    set +e
    (
        set -e
        "$@"
    ) >"$log" 2>&1
    status=$?
    set -e
    ((status == 0)) || tail -n 40 "$log" >&2
    rm -f "$log"
    finish_step "$text" "$started" "$status"
}

# step_live TEXT COMMAND...: the same with the command's output shown as it comes.
step_live() {
    local text=$1 started=$EPOCHREALTIME status
    shift
    printf '==> %s …\n' "$text"
    set +e
    (
        set -e
        "$@"
    )
    status=$?
    set -e
    finish_step "$text" "$started" "$status"
}

# hash_of PATH...: one hash over names and contents of the files and directories; changes when an input changes, and is the
# same in every checkout.
hash_of() {
    find "$@" -type f -print0 | sort -z | xargs -0 sha256sum | sed "s|  $root/|  |" | sha256sum | cut -d' ' -f1
}

# require_root: most scripts install packages, mount or start containers.
require_root() {
    ((EUID == 0)) || die "this must run as root" "try: sudo -E $0"
}

# buildah with a storage of the project's own, in the one mode that needs neither overlay mounts nor user namespaces.
project_buildah() {
    # Otherwise it makes a lock file under /etc/cni.
    export CONTAINERS_CONF=$cache/containers.conf
    printf '[network]\nnetwork_config_dir = "%s"\n' "$cache/network" >"$CONTAINERS_CONF"
    BUILDAH_ISOLATION=chroot buildah --root "$cache/storage" --runroot "$cache/storage-run" --storage-driver vfs "$@"
}

# debian_archive CODENAME: the archive that this machine's apt uses for it (bookworm, bookworm-security, …).
debian_archive() {
    local archive
    # shellcheck disable=SC2016 # $(…) is apt's own notation
    archive=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' "Codename: $1" | head -n 1)
    [[ -n $archive ]] || die "apt knows no archive for $1" "apt-get update, and look at /etc/apt/sources.list"
    echo "$archive"
}
