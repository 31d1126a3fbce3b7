#pragma once
// Two trees of files that change places at once.

#include <cstdint>
#include <string>

#include "base/result.h"

namespace dbrestore::agent {

// Which folder it is, whatever its path.
struct TreeId {
    uint64_t device = 0, inode = 0;

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
