#pragma once
// A dump in plain SQL, as pg_dump -Fp writes it. Only its shape is read: statements, the data of COPY, and
// the comments that say which object follows. Whoever runs it is kept within bounds by the role that runs it,
// not by what is left out here.

#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <string_view>

#include "agent/dump/archive.h"

namespace dbrestore::agent {

class SqlScript {
public:
    // Takes what is to be run, in order; its error ends it.
    using Forward = std::function<base::Status(std::string_view)>;

    // `schemas_made`: those that are there already.
    explicit SqlScript(std::set<std::string> schemas_made = {}) : schemas_made_(std::move(schemas_made)) {}

    // Any cut of the script into pieces gives the same. What pg_restore would be told to leave out is left
    // out: owners, privileges, extensions, security labels, subscriptions, tablespaces.
    base::Status feed(std::string_view bytes, const Forward& forward);

    // Once all was fed. UnsupportedFormat: it is not pg_dump's, or holds commands for psql, which are refused
    // whatever they are; DumpTruncated.
    std::optional<Failure> problem() const;

    Archive archive;              // entries without `line`
    std::string pg_dump_version;  // that wrote it; empty where it does not say so

private:
    enum class In {
        text,
        line_comment,
        block_comment,
        quoted,
        escaped,
        name,
        dollar_tag,
        dollar,
        command,
        copy
    };

    base::Status take(char c, const Forward& forward);
    // False where the character must not count as the one before the next.
    bool take_by_state(char c);
    void take_text(char c);
    void take_dollar_tag(char c);
    bool take_dollar(char c);
    bool take_block_comment(char c);
    base::Status take_copy(std::string_view& bytes, const Forward& forward);
    base::Status end_statement(const Forward& forward);
    base::Status flush(const Forward& forward);
    void end_comment();
    void end_command();
    bool is_left_out(std::string_view statement) const;

    std::set<std::string> schemas_made_;
    In in_ = In::text;
    std::string
        text_;  // of the statement, or what stands between two; what was forwarded already is not kept
    size_t comment_at_ = 0;  // in text_
    bool is_long_ = false;   // something of it was forwarded
    char last_ = '\n', before_last_ = '\n';
    int depth_ = 0, comment_depth_ = 0;
    std::string tag_, tail_, command_;
    bool copy_begins_ = false;
    std::string line_head_;  // of a line of data
    bool begins_as_dump_ = false, is_foreign_ = false, is_complete_ = false;
    std::string foreign_command_;
};

// Reads it to its end. Failures: those of SqlScript::problem; DumpTooNew where pg_dump was newer than the
// server; those of the source.
std::optional<Failure> read_script(backups::ByteSource& source, const std::string& server_version,
                                   Archive& archive, int64_t& output_bytes);

}  // namespace dbrestore::agent
