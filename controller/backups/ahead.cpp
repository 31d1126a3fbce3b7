#include "backups/ahead.h"

#include <algorithm>

namespace dbrestore::backups {

AheadSource::AheadSource(ByteSource& inner) : inner_(inner), thread_([this] { read_on(); }) {}

AheadSource::~AheadSource() {
    {
        const std::lock_guard lock(mutex_);
        is_unwanted_ = true;
    }
    changed_.notify_all();
    thread_.join();
}

void AheadSource::read_on() {
    while (true) {
        std::string block(block_bytes, '\0');
        const auto count = inner_.read(block.data(), block.size());
        std::unique_lock lock(mutex_);
        if (!count) error_ = count.error();
        is_over_ = !count || *count == 0;
        if (!is_over_) {
            block.resize(*count);
            blocks_.push_back(std::move(block));
        }
        changed_.notify_all();
        changed_.wait(lock, [this] { return is_unwanted_ || is_over_ || blocks_.size() < ahead_blocks; });
        if (is_unwanted_ || is_over_) return;
    }
}

base::Result<size_t> AheadSource::read(char* buffer, size_t size) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return is_over_ || !blocks_.empty(); });
    if (blocks_.empty()) {
        if (error_) return *error_;
        return size_t{0};
    }
    const std::string& first = blocks_.front();
    const size_t count = std::min(size, first.size() - taken_of_first_);
    std::copy_n(first.data() + taken_of_first_, count, buffer);
    taken_of_first_ += count;
    if (taken_of_first_ == first.size()) {
        blocks_.pop_front();
        taken_of_first_ = 0;
        changed_.notify_all();
    }
    return count;
}

}  // namespace dbrestore::backups
