#pragma once
// Cuts lists and watch streams into single objects. simdjson finds the borders; only the single object
// becomes a document, so that memory does not grow with the length of a page. Input is not trusted.

#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "kube/cache.h"

namespace dbrestore::kube {

// A stream that comes in pieces, cut at line breaks. What follows the last line break is torn and never
// handed out.
class LineSplitter {
public:
    explicit LineSplitter(size_t longest_line_bytes) : longest_(longest_line_bytes) {}

    void append(std::string_view piece);
    // The next whole line without its break; valid until append. Empty lines are left out.
    std::optional<std::string_view> next();
    bool too_long() const { return buffer_.size() - start_ > longest_; }  // after next() gave nothing

private:
    const size_t longest_;
    std::string buffer_;
    size_t start_ = 0;    // of the next line
    size_t scanned_ = 0;  // no line break before this
};

struct ListedObject {
    ObjectIdentity identity;
    nlohmann::json object;
};

struct ListHead {
    std::string resource_version, continue_token;
};

// Calls `on_object` for each item of a list document. Errors: invalid, possibly after some calls.
base::Result<ListHead> parse_list(std::string& document,
                                  const std::function<void(const ListedObject&)>& on_object);

enum class FrameType { put, erase, bookmark };
struct WatchFrame {
    FrameType type = FrameType::put;
    ListedObject object;
    std::string resource_version;  // as the server wrote it
};

// One line of a watch stream. Errors: what an ERROR event says (expired where its code is 410), else invalid.
base::Result<WatchFrame> parse_watch_frame(std::string_view line);

}  // namespace dbrestore::kube
