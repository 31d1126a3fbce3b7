#pragma once
// Two trees of files that change places at once.

#include <cstdint>
#include <string>

#include "base/result.h"

namespace dbrestore::agent {

// Which folder of a volume it is, whatever its path. The number of the volume's device is no part of it: it
// is another one on the next node, or after a restart of this one.
struct TreeId {
    uint64_t inode = 0;

    bool operator==(const TreeId&) const = default;
};

// Errors: not_found; io.
base::Result<TreeId> tree_id(const std::string& path);

// Both names in one act: a crash leaves it done or not begun, and doing it again undoes it. Errors: failed
// where the file system cannot; io.
base::Status exchange_trees(const std::string& folder, const std::string& one, const std::string& other);

// Whether the file system of this folder can do that. Errors: as above.
base::Status prove_exchange(const std::string& folder);

}  // namespace dbrestore::agent
