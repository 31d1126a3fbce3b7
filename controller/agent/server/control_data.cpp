#include "agent/server/control_data.h"

#include <cstdlib>

#include "agent/programs.h"
#include "agent/text.h"
#include "base/process.h"

namespace dbrestore::agent {

std::string ControlData::field(const std::string& name) const {
    const auto at = fields.find(name);
    return at == fields.end() ? std::string() : at->second;
}

int64_t ControlData::timeline() const {
    return std::strtoll(field("Latest checkpoint's TimeLineID").c_str(), nullptr, 10);
}

ControlData control_data_from_text(std::string text) {
    ControlData control{std::move(text), {}};
    for (const auto& line : lines_of(control.text)) {
        if (const size_t colon = line.find(':'); colon != std::string::npos)
            control.fields[line.substr(0, colon)] = trimmed(line.substr(colon + 1));
    }
    return control;
}

base::Result<ControlData> read_control_data(const std::string& directory, const std::string& version) {
    const auto program = find_program("pg_controldata", version);
    if (!program) return program.error();
    std::string text, errors;
    base::ProcessSpec spec;
    spec.arguments = {*program, "-D", directory};
    spec.environment = {{"LC_ALL", "C"}};
    spec.on_stdout = [&](std::string_view piece) { text.append(piece.substr(0, 65536)); };
    spec.on_stderr = [&](std::string_view piece) { errors.append(piece.substr(0, 1000)); };
    const auto end = base::run_process(spec);
    if (!end) return end.error();
    if (end->signal != 0)
        return base::error(base::ErrorKind::io, "pg_controldata did not end by itself: " + to_text(*end));
    // A wrong checksum is only a warning to pg_controldata; to us such a file is not readable.
    if (!end->ok() || text.find("WARNING:") != std::string::npos ||
        errors.find("WARNING") != std::string::npos) {
        return base::error(base::ErrorKind::failed,
                           "pg_control cannot be read: " + one_line(errors, max_told_bytes));
    }
    return control_data_from_text(std::move(text));
}

}  // namespace dbrestore::agent
