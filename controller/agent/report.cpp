#include "agent/report.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "agent/text.h"
#include "base/unique_fd.h"

namespace dbrestore::agent {

namespace {

constexpr std::chrono::seconds at_most_every{2};
constexpr size_t max_message_bytes = 4000;
// Earlier an estimate would be a guess.
constexpr int64_t first_percent_with_eta = 3;

void write_all(int fd, const std::string& text) {
    size_t written = 0;
    while (written < text.size()) {
        const ssize_t count = ::write(fd, text.data() + written, text.size() - written);
        if (count <= 0) return;  // nobody reads the log: the journal is the truth anyhow
        written += static_cast<size_t>(count);
    }
}

}  // namespace

bool Report::is_due() const {
    return !last_ || SteadyClock::now() - *last_ >= at_most_every;
}

void Report::progress(resources::Progress progress) {
    if (!is_due()) return;
    const auto now = SteadyClock::now();
    last_ = now;
    percent_ = std::clamp<int64_t>(progress.percent, percent_, 100);
    progress.percent = percent_;
    progress.step = step_;
    if (percent_ >= first_percent_with_eta) {
        const auto elapsed = std::chrono::duration_cast<std::chrono::seconds>(now - start_).count();
        progress.eta_seconds = elapsed * (100 - percent_) / percent_;
    }
    write(resources::progress_frame(++sequence_, progress));
}

void Report::progress(std::string summary, int64_t percent) {
    resources::Progress progress;
    progress.summary = std::move(summary);
    progress.percent = percent;
    this->progress(std::move(progress));
}

void Report::finish(const resources::AgentResult& result, const std::string& termination_path) {
    resources::AgentResult cut = result;
    cut.message = one_line(result.message, max_message_bytes);
    write(resources::result_frame(++sequence_, cut));
    const base::UniqueFd file{
        ::open(termination_path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644)};
    if (file) write_all(file.get(), resources::termination_message(cut));
}

void Report::write(const std::string& frame) const {
    write_all(output_fd_, frame);
}

}  // namespace dbrestore::agent
