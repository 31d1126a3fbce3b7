#include <thread>

#include "agent/dump/analyze.h"
#include "agent/dump/archive.h"
#include "agent/dump/handover.h"
#include "agent/dump/new_database.h"
#include "agent/dump/restore_run.h"
#include "agent/dump/server_checks.h"
#include "agent/dump/stage.h"
#include "agent/point_in_time/copy.h"
#include "agent/programs.h"
#include "agent/server/enter.h"
#include "agent/space.h"
#include "agent/steps/rollback.h"
#include "agent/steps/steps.h"

namespace dbrestore::agent {

namespace {

using State = Journal::State;

// What another restore left on the volume must not stand in the way of this one.
std::optional<AgentResult> settle_predecessor(const Context& context, Work& work) {
    if (!work.journal || work.is_of(context.request.restore_uid)) return std::nullopt;
    if (work.journal->state == State::committed && !work.journal->rolling_back) return finish_commit(work);
    if (work.journal->state == State::rolled_back) return std::nullopt;
    work.journal->attempt = context.request.attempt;
    work.journal->pod_uid = context.surroundings.pod_uid;
    if (auto saved = work.folder.save(*work.journal); !saved)
        return from_error("JournalNotWritten", saved.error());
    const AgentResult taken_back = take_back(context, work);
    if (taken_back.outcome != AgentResult::Outcome::done) return taken_back;
    return std::nullopt;
}

std::optional<AgentResult> begin_journal(const Context& context, Work& work) {
    const auto& request = context.request;
    const auto database = credential(context, request.database, request.database_key);
    if (!database) return failed("CredentialsMissing", to_text(database.error()));
    const bool was_unclean = work.is_of(request.restore_uid) && work.journal->was_unclean;
    work.journal = Journal{.state = State::preparing,
                           .restore_uid = request.restore_uid,
                           .restore_name = request.restore_name,
                           .pod_uid = context.surroundings.pod_uid,
                           .attempt = request.attempt,
                           .sequence = request.sequence,
                           .undo = request.undo,
                           .clean = request.clean,
                           .as_superuser = request.as_superuser,
                           .database = *database,
                           .new_database = request.new_database,
                           .old_database = request.old_database,
                           .role = request.role,
                           .was_unclean = was_unclean,
                           .physical = request.point_in_time.has_value(),
                           // Never missing: what lies beside would be taken for a copy, and be removed.
                           .undone_uid = request.undone_uid};
    // All databases come back; the question is put to this one.
    if (work.journal->physical) work.journal->new_database = *database;
    return save_journal(work, State::preparing);
}

std::optional<AgentResult> open_source(const Context& context, const Work& work, RestoreSource& source) {
    const std::string directory = work.tree.is_hidden() ? work.tree.path() : context.request.data_directory;
    const auto version = data_version(directory);
    if (!version) return from_error("DataDirectoryDamaged", version.error());
    auto programs = find_restore_programs(*version);
    if (!programs) return failed("ProgramsMissing", to_text(programs.error()));
    source.programs = std::move(*programs);
    backups::OpenBackup backup;
    if (const auto failure = open_backup(context, backup)) return from_failure(*failure);
    if (auto dump = usable_in_place(backup)) {
        if (const auto failure = refuse_format(context, dump->format(), source.programs))
            return from_failure(*failure);
        source.dump = std::move(*dump);
    } else if (const auto failure = stage_dump(context, work.folder, source.programs, backup, source.dump)) {
        remove_staged(work.folder);
        return from_failure(*failure);
    }
    if (const auto failure = read_archive(source.dump, source.programs, source.archive))
        return from_failure(*failure);
    return std::nullopt;
}

// The server may have changed since preflight, or not have run then.
std::optional<AgentResult> check_again(const PrivateServer& server, const Journal& journal,
                                       const Archive& archive) {
    auto session = server.connect(journal.database);
    if (!session)
        return failed(
            session.error().kind == base::ErrorKind::not_found ? "DatabaseNotFound" : "PrivateServerFailed",
            to_text(session.error()));
    Findings findings;
    check_server({*session, journal.database, &archive, journal.clean, journal.as_superuser}, findings);
    const auto* failure = findings.first_failure();
    if (failure == nullptr) return std::nullopt;
    return failed(failure->check, findings.failures());
}

std::optional<AgentResult> make_new_database(const PrivateServer& server, const Journal& journal,
                                             const Archive& archive) {
    auto session = server.connect("template1");
    if (!session) return from_error("PrivateServerFailed", session.error());
    if (auto dropped = drop_leftovers(server, *session, journal); !dropped)
        return from_error("NewDatabaseFailed", dropped.error());
    if (auto made = make_role_and_database(*session, journal); !made)
        return from_error("NewDatabaseFailed", made.error());
    if (journal.clean) {
        if (auto lent = lend_to_role(server, journal); !lent)
            return from_error("NewDatabaseFailed", lent.error());
    }
    if (auto made = make_extensions(server, journal, archive); !made)
        return from_error("ExtensionFailed", made.error());
    return std::nullopt;
}

// What was restored is written to the disk meanwhile. Whether all of it was, the last checkpoint says.
base::Result<int64_t> analyze_while_writing(const Context& context, const PrivateServer& server,
                                            const Journal& journal) {
    const std::jthread writer([&server] {
        if (auto session = server.connect("template1")) static_cast<void>(session->run("CHECKPOINT"));
    });
    return analyze(context, server, journal);
}

std::optional<AgentResult> fill_new_database(const Context& context, const Work& work,
                                             const PrivateServer& server, const RestoreSource& source,
                                             std::string& remark) {
    const Journal& journal = *work.journal;
    if (auto failure = check_again(server, journal, source.archive)) return failure;
    if (auto ours = work.folder.still_ours(journal); !ours) return failed("TakenOver", to_text(ours.error()));
    if (auto failure = make_new_database(server, journal, source.archive)) return failure;
    if (auto failure = run_restore(context, server, journal, source, work.tree.path())) return failure;
    remove_staged(work.folder);  // its space is of use to ANALYZE already
    const auto left_out = analyze_while_writing(context, server, journal);
    if (!left_out) return from_error("AnalyzeFailed", left_out.error());
    if (*left_out > 0) remark += "; " + std::to_string(*left_out) + " tables could not be analyzed";
    if (auto handed = hand_over(server, journal); !handed)
        return from_error("HandoverFailed", handed.error());
    auto session = server.connect(journal.new_database);
    if (!session) return from_error("PrivateServerFailed", session.error());
    // The client hears only that it failed; a full disk stands in the server's log.
    if (auto written = session->run("CHECKPOINT"); !written)
        return from_error(
            "PrivateServerFailed",
            base::error(written.error().kind, written.error().message + "; " + server.log_tail()));
    return std::nullopt;
}

// Undo: the database that comes back was served before, so it only has to be there.
std::optional<AgentResult> check_kept_database(const PrivateServer& server, const Journal& journal) {
    auto session = server.connect("template1");
    if (!session) return from_error("PrivateServerFailed", session.error());
    return check_names(*session, journal);
}

AgentResult prepared(const Journal& journal, std::string remark) {
    AgentResult result = done(std::move(remark));
    if (journal.physical) result.recovered_to = journal.recovered_to;
    return result;
}

AgentResult prepare_copy(const Context& context, Work& work) {
    // The copy disturbs no server, but what it writes until the commit would be lost without a trace.
    if (auto running = wait_for_server_to_end(context, work)) return *running;
    if (context.request.undo) {
        if (auto failure = begin_journal(context, work)) return *failure;
        if (auto failure = bring_back_kept(context, work)) return *failure;
        return prepared(*work.journal, "");
    }
    RecoveryPlan plan;
    const std::string& directory = context.request.data_directory;
    if (auto failure = plan_recovery(context, work.folder, directory, plan)) {
        // It was tried for minutes already, with the database down.
        if (context.request.attempt > 1) failure->may_pass = false;
        return from_failure(*failure);
    }
    if (auto failure = begin_journal(context, work)) return *failure;
    if (auto failure = make_copy(context, work, plan)) return *failure;
    return prepared(*work.journal, "");
}

AgentResult make_prepared(const Context& context) {
    Work work(context.request.data_directory);
    if (auto failure = take_hold(context, work)) return *failure;
    if (auto failure = refuse_too_late(context, work)) return *failure;
    if (auto failure = settle_predecessor(context, work)) return *failure;
    if (work.is_of(context.request.restore_uid) && work.journal->state != State::preparing &&
        work.journal->state != State::rolled_back) {
        if (auto failure = claim(context, work)) return *failure;
        return prepared(*work.journal, "an earlier attempt had prepared it");
    }
    if (context.request.point_in_time) return prepare_copy(context, work);
    std::optional<ControlLook> look;
    if (auto failure = look_at_control(context, work, look)) return *failure;
    RestoreSource source;
    if (!context.request.undo) {
        if (auto failure = open_source(context, work, source)) return *failure;
    }
    if (auto failure = begin_journal(context, work)) return *failure;
    // An Undo writes next to nothing, and must work on a full volume.
    if (!context.request.undo) {
        if (auto reserved = work.folder.write_ballast(); !reserved)
            return failed("InsufficientSpace", to_text(reserved.error()));
    }
    bool was_unclean = work.journal->was_unclean;
    if (auto failure = put_behind_stub(context, work, std::move(look), was_unclean)) return *failure;
    work.journal->was_unclean = was_unclean;
    work.journal->tables = source.archive.count("TABLE") + source.archive.count("FOREIGN TABLE");
    std::string remark =
        was_unclean ? "the server had not been stopped cleanly, and crash recovery was run" : "";
    std::unique_ptr<PrivateServer> server;
    if (auto failure = start_server(context, work, server)) return *failure;
    if (auto failure = context.request.undo ? check_kept_database(*server, *work.journal)
                                            : fill_new_database(context, work, *server, source, remark))
        return *failure;
    if (auto stopped = server->stop(); !stopped) return from_error("PrivateServerFailed", stopped.error());
    if (auto failure = save_journal(work, State::prepared)) return *failure;
    return prepared(*work.journal, remark);
}

}  // namespace

AgentResult prepare(const Context& context) {
    AgentResult result = make_prepared(context);
    // Wherever the disk filled, another attempt would find it as full.
    if (result.outcome != AgentResult::Outcome::done && tells_of_full_disk(result.message))
        return failed("InsufficientSpace", result.message);
    return result;
}

}  // namespace dbrestore::agent
