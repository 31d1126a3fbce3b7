#include "backups/dump_contents.h"

#include <algorithm>

#include "backups/folder.h"
#include "backups/unpack.h"
#include "base/text.h"

namespace dbrestore::backups {

namespace {

using base::error;
using base::ErrorKind;

constexpr size_t max_kept_text_bytes = 4096;
constexpr size_t max_lists = 1'000'000;

base::Error ends_too_early() {
    return error(ErrorKind::invalid, "the dump's table of contents ends too early");
}

// Reads what pg_restore would read, integers that overflow included.
class Reader {
public:
    explicit Reader(ByteSource& source) : source_(source) {}

    base::Result<unsigned char> byte() {
        if (at_ == filled_) {
            const auto count = source_.read(buffer_.data(), buffer_.size());
            if (!count) return count.error();
            if (*count == 0) return ends_too_early();
            at_ = 0;
            filled_ = *count;
        }
        return static_cast<unsigned char>(buffer_[at_++]);
    }

    // A sign, and four bytes.
    base::Result<int32_t> integer() {
        const auto sign = byte();
        if (!sign) return sign.error();
        uint32_t number = 0;
        for (int shift = 0; shift < 32; shift += 8) {
            const auto part = byte();
            if (!part) return part.error();
            number |= uint32_t{*part} << shift;
        }
        return static_cast<int32_t>(*sign == 0 ? number : 0 - number);
    }

    // Nothing where there is no text, which is another thing than an empty one. Cut where it is long.
    base::Result<std::optional<std::string>> text() {
        const auto length = integer();
        if (!length) return length.error();
        if (*length < 0) return std::optional<std::string>();
        std::string text;
        for (int32_t i = 0; i < *length; ++i) {
            const auto next = byte();
            if (!next) return next.error();
            if (text.size() < max_kept_text_bytes) text += static_cast<char>(*next);
        }
        return std::optional<std::string>(std::move(text));
    }

    base::Status skip_integers(int count) {
        for (int i = 0; i < count; ++i) {
            if (const auto skipped = integer(); !skipped) return skipped.error();
        }
        return base::success();
    }
    base::Status skip_texts(int count) {
        for (int i = 0; i < count; ++i) {
            if (const auto skipped = text(); !skipped) return skipped.error();
        }
        return base::success();
    }

private:
    ByteSource& source_;
    std::string buffer_ = std::string(16384, '\0');
    size_t at_ = 0, filled_ = 0;
};

struct Head {
    int minor = 0;  // of the archive's version, 1.minor
    std::string server_version;
};

base::Result<Head> read_head(Reader& reader) {
    std::string fixed;
    while (fixed.size() < 11) {
        const auto next = reader.byte();
        if (!next) return next.error();
        fixed += static_cast<char>(*next);
    }
    Head head{.minor = fixed[6], .server_version = {}};
    if (!fixed.starts_with("PGDMP\x01") || head.minor < 10 || head.minor > 16 || fixed[8] != 4)
        return error(ErrorKind::invalid, "the dump has a layout that is not known");
    // How it is compressed: a byte, or a level.
    if (head.minor >= 15) {
        if (const auto skipped = reader.byte(); !skipped) return skipped.error();
    } else if (auto skipped = reader.skip_integers(1); !skipped) {
        return skipped.error();
    }
    // When it was made, and of which database.
    if (auto skipped = reader.skip_integers(7); !skipped) return skipped.error();
    if (auto skipped = reader.skip_texts(1); !skipped) return skipped.error();
    const auto version = reader.text();
    if (!version) return version.error();
    if (auto skipped = reader.skip_texts(1); !skipped) return skipped.error();
    head.server_version = version->value_or("");
    return head;
}

// One entry; what it names, where that is anything.
base::Result<std::optional<std::string>> read_entry(Reader& reader, int minor) {
    if (auto skipped = reader.skip_integers(2); !skipped) return skipped.error();
    if (auto skipped = reader.skip_texts(4); !skipped) return skipped.error();
    if (minor >= 11) {
        if (auto skipped = reader.skip_integers(1); !skipped) return skipped.error();
    }
    // Three commands, schema, tablespace, and maybe the access method.
    if (auto skipped = reader.skip_texts(minor >= 14 ? 6 : 5); !skipped) return skipped.error();
    if (minor >= 16) {
        if (auto skipped = reader.skip_integers(1); !skipped) return skipped.error();
    }
    // Owner, and whether there are OIDs.
    if (auto skipped = reader.skip_texts(2); !skipped) return skipped.error();
    while (true) {
        const auto dependency = reader.text();
        if (!dependency) return dependency.error();
        if (!*dependency) break;
    }
    return reader.text();
}

Failure unsafe(const std::string& what) {
    return {"UnsafeArchive", "the dump must name files of its own folder only, and " + what};
}

// pg_restore takes the list line by line and word by word; a path that leaves the folder has a slash.
std::optional<Failure> check_list(int folder_fd, const std::string& name) {
    auto list = open_beneath(folder_fd, name);
    if (!list) return to_failure(list.error());
    FileSource source(std::move(list->fd));
    bool has_path = false;
    const auto read = pump(source, [&](std::string_view bytes) {
        has_path = has_path || bytes.find('/') != std::string_view::npos;
        return base::success();
    });
    if (!read) return to_failure(read.error());
    if (has_path) return unsafe("its list of large objects, " + name + ", has a path");
    return std::nullopt;
}

}  // namespace

std::string server_version_of(ByteSource& dump) {
    Reader reader(dump);
    const auto head = read_head(reader);
    return head ? head->server_version : "";
}

base::Status for_each_file_name(ByteSource& toc,
                                const std::function<base::Status(const std::string&)>& take) {
    Reader reader(toc);
    const auto head = read_head(reader);
    if (!head) return head.error();
    const auto entries = reader.integer();
    if (!entries) return entries.error();
    for (int32_t i = 0; i < *entries; ++i) {
        const auto name = read_entry(reader, head->minor);
        if (!name) return name.error();
        if (!*name || (*name)->empty()) continue;
        if (auto taken = take(**name); !taken) return taken;
    }
    return base::success();
}

std::optional<Failure> check_file_names(int folder_fd) {
    auto toc = open_beneath(folder_fd, "toc.dat");
    if (!toc) return to_failure(toc.error());
    FileSource source(std::move(toc->fd));
    std::optional<Failure> failure;
    const auto read = for_each_file_name(source, [&](const std::string& name) -> base::Status {
        if (is_directory_member(name)) return base::success();
        failure = unsafe("its table of contents names \"" + base::one_line(name, 200) + "\"");
        return error(ErrorKind::invalid, "");
    });
    if (failure) return failure;
    if (!read) return to_failure(read.error());
    const auto names = names_in(folder_fd, max_lists);
    if (!names) return to_failure(names.error());
    for (const auto& name : *names) {
        if (!name.ends_with(".toc")) continue;
        if (auto refused = check_list(folder_fd, name)) return refused;
    }
    return std::nullopt;
}

}  // namespace dbrestore::backups
