#pragma once
// The bundle's pgBackRest, with the configuration that the kubelet mounts from a Secret.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/point_in_time/backup_set.h"
#include "agent/surroundings.h"
#include "base/process.h"

namespace dbrestore::agent {

// A setting by which a restore would write outside of its own folder; empty where there is none.
std::string dangerous_setting(std::string_view configuration);

class PgBackRest {
public:
    // Failures: RepositorySecretMissing, which may pass; RepositoryRefused.
    static std::optional<backups::Failure> open(const Context& context, std::optional<PgBackRest>& opened);

    // Of all repositories that can be read; `unreadable` tells which cannot. Failures: those of
    // backup_sets_from_info; RepositoryUnreadable.
    std::optional<backups::Failure> list(std::vector<BackupSet>& sets,
                                         std::string* unreadable = nullptr) const;

    // What a restore finds in its folder.
    enum class Found {
        nothing,
        clone,  // a server's files: what is equal to the backup's is not fetched, what the backup lacks goes
    };

    // Nothing outside of the folder is touched. Tells how far it is, up to `percent_of_step`. Failures:
    // RepositoryUnreadable, which may pass.
    std::optional<backups::Failure> restore(const BackupSet& set, const std::string& directory, Found found,
                                            int64_t percent_of_step) const;

    // A file of the WAL archive, such as "00000002.history"; nothing where the archive has none of the name.
    // `data_directory`: of that server. Failures: as above.
    std::optional<backups::Failure> fetch(const std::string& name, const std::string& data_directory,
                                          std::optional<std::string>& content) const;

    // The names in a folder of the WAL archive, below BackupSet::archive of `set`; empty where there is no
    // such folder. Failures: RepositoryUnreadable, which may pass.
    std::optional<backups::Failure> names_in(const BackupSet& set, const std::string& folder,
                                             std::vector<std::string>& names) const;

    // A file there as it was archived: decrypted, not decompressed. `fetch` does both, but looks at the data
    // directory for whose it is. Failures: as above; RepositoryDamaged where it is larger than any segment.
    std::optional<backups::Failure> read(const BackupSet& set, const std::string& path,
                                         std::string& content) const;

    // For a server on `tree`. What is not archived is looked for in the pg_wal of the others: also histories,
    // so that no timeline begins twice. Where the repository cannot be read the server ends: it must not take
    // that for the end of WAL.
    std::string restore_command(const std::string& tree, const std::vector<std::string>& other_trees) const;

private:
    explicit PgBackRest(const Context& context) : context_(&context) {}
    std::vector<std::string> command(std::vector<std::string> arguments) const;
    std::vector<std::string> archive_get(const std::string& data_directory) const;
    std::optional<backups::Failure> run(const std::string& what, base::ProcessSpec& spec,
                                        int& exit_code) const;
    std::optional<backups::Failure> run_on_archive(const std::string& command_name, const BackupSet& set,
                                                   const std::string& path, std::string& output) const;
    std::string folder() const;

    const Context* context_;
    bool waits_as_configured_ = false;  // `io-timeout` is set
};

}  // namespace dbrestore::agent
