#pragma once
// What speaks for and against a restore. The name of a check that failed doubles as a condition's reason.

#include <string>
#include <utility>
#include <vector>

#include "resources/database_restore.h"

namespace dbrestore::agent {

struct Findings {
    std::vector<resources::PreflightFinding> list;
    std::vector<std::string> waiting_for;

    void passed(std::string check, std::string message = {}) {
        add(std::move(check), resources::PreflightFinding::Outcome::passed, std::move(message));
    }
    void warning(std::string check, std::string message) {
        add(std::move(check), resources::PreflightFinding::Outcome::warning, std::move(message));
    }
    void failed(std::string check, std::string message) {
        add(std::move(check), resources::PreflightFinding::Outcome::failed, std::move(message));
    }
    // Failed now, and over by itself when an object appears.
    void missing(std::string check, std::string message) {
        waiting_for.push_back(check);
        failed(std::move(check), std::move(message));
    }

    const resources::PreflightFinding* first_failure() const {
        for (const auto& finding : list) {
            if (finding.outcome == resources::PreflightFinding::Outcome::failed) return &finding;
        }
        return nullptr;
    }
    std::string failures() const {
        std::string text;
        for (const auto& finding : list) {
            if (finding.outcome == resources::PreflightFinding::Outcome::failed)
                text += (text.empty() ? "" : "; ") + finding.message;
        }
        return text;
    }

private:
    void add(std::string check, resources::PreflightFinding::Outcome outcome, std::string message) {
        list.push_back({std::move(check), outcome, std::move(message)});
    }
};

}  // namespace dbrestore::agent
