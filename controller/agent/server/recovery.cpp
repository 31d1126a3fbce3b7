#include "agent/server/recovery.h"

namespace dbrestore::agent {

namespace {

bool ends_here(const std::string& reason, const std::string& what) {
    return reason.starts_with("before " + what) || reason.starts_with("after " + what);
}

// When postgres reads its arguments it knows no names of zones yet, not even "Z".
std::string with_numeric_zone(std::string time) {
    if (time.ends_with('Z') || time.ends_with('z')) time.replace(time.size() - 1, 1, "+00:00");
    return time;
}

}  // namespace

Settings recovery_settings(const resources::PointInTime& target, int64_t timeline,
                           const std::string& restore_command) {
    Settings settings{
        {"restore_command", restore_command},
        {"recovery_target_timeline", std::to_string(timeline)},
        {"recovery_target_inclusive", target.exclusive ? "off" : "on"},
        {"recovery_target_action", "promote"},
        // The new timeline's history and segments wait for the live server to archive them.
        {"archive_mode", "on"},
        // In it the server tells the time of the last transaction.
        {"timezone", "UTC"},
        // None of the configuration's own; all before ours, since each that is set, and be it to nothing,
        // must find no other.
        {"recovery_target", ""},
        {"recovery_target_time", ""},
        {"recovery_target_lsn", ""},
        {"recovery_target_xid", ""},
        {"recovery_target_name", ""},
    };
    if (target.immediate) settings.emplace_back("recovery_target", "immediate");
    if (!target.time.empty()) settings.emplace_back("recovery_target_time", with_numeric_zone(target.time));
    if (!target.lsn.empty()) settings.emplace_back("recovery_target_lsn", target.lsn);
    if (!target.xid.empty()) settings.emplace_back("recovery_target_xid", target.xid);
    if (!target.name.empty()) settings.emplace_back("recovery_target_name", target.name);
    return settings;
}

bool has_reached(const resources::PointInTime& target, const TimelineFork& end) {
    if (target.latest) return end.reason == "no recovery target specified";
    if (target.immediate) return end.reason == "reached consistency";
    if (!target.name.empty()) return end.reason == "at restore point \"" + target.name + "\"";
    if (!target.lsn.empty()) return ends_here(end.reason, "LSN ");
    if (!target.xid.empty()) return ends_here(end.reason, "transaction ");
    return ends_here(end.reason, "");
}

}  // namespace dbrestore::agent
