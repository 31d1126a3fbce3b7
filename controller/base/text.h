#pragma once
// Words for people, and lines out of streams.

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace dbrestore::base {

// "1.5 GiB".
std::string human_size(int64_t bytes);

// One line of at most max_bytes: control characters become spaces, a cut ends with "…" and never halves a
// character.
std::string one_line(std::string_view text, size_t max_bytes);

// "a, b, c and 4 more".
std::string listed(const std::vector<std::string>& names, size_t at_most = 5);

// Cuts a stream into lines. What of a line is beyond max_bytes is lost, so that hostile input cannot fill the
// memory.
class LineSplitter {
public:
    explicit LineSplitter(size_t max_bytes) : max_bytes_(max_bytes) {}

    template <typename OnLine>
    void feed(std::string_view text, const OnLine& on_line) {
        while (!text.empty()) {
            const size_t end = text.find('\n');
            const std::string_view part = text.substr(0, end);
            line_.append(part.substr(0, max_bytes_ - std::min(max_bytes_, line_.size())));
            if (end == std::string_view::npos) return;
            on_line(std::string_view(line_));
            line_.clear();
            text = text.substr(end + 1);
        }
    }

private:
    size_t max_bytes_;
    std::string line_;
};

// Every occurrence of `what` becomes `by`, in one pass.
std::string replaced(std::string text, const std::string& what, const std::string& by);

std::vector<std::string> lines_of(std::string_view text);
std::string trimmed(std::string_view text);

}  // namespace dbrestore::base
