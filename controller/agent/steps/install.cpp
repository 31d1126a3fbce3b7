#include <filesystem>

#include "agent/steps/steps.h"

namespace dbrestore::agent {

base::Status install(const std::string& bundle_directory, const std::string& target) {
    namespace fs = std::filesystem;
    std::error_code code;
    fs::create_directories(target, code);
    // Files that an earlier run copied may be in use by nobody: the pod's main container starts after this
    // one.
    if (!code)
        fs::copy(bundle_directory, target,
                 fs::copy_options::recursive | fs::copy_options::copy_symlinks |
                     fs::copy_options::overwrite_existing,
                 code);
    if (code)
        return base::error(base::ErrorKind::io,
                           "cannot copy " + bundle_directory + " to " + target + ": " + code.message());
    return base::success();
}

}  // namespace dbrestore::agent
