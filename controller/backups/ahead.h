#pragma once
// Reads ahead of whoever reads, in a thread of its own: a download goes on while what has come is unpacked.

#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>

#include "backups/byte_source.h"

namespace dbrestore::backups {

// The same bytes, and in the end the same error. Holds at most `ahead_blocks` blocks of block_bytes each.
class AheadSource final : public ByteSource {
public:
    explicit AheadSource(ByteSource& inner);
    // Waits for the read that is under way.
    ~AheadSource() override;

    base::Result<size_t> read(char* buffer, size_t size) override;

private:
    static constexpr size_t ahead_blocks = 8;

    void read_on();

    ByteSource& inner_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<std::string> blocks_;
    bool is_over_ = false, is_unwanted_ = false;
    std::optional<base::Error> error_;
    size_t taken_of_first_ = 0;
    std::thread thread_;  // last: it uses all the others
};

}  // namespace dbrestore::backups
