#pragma once
// URLs of backups, and the listings of an S3 service (ListObjectsV2 of Amazon's S3 API reference).

#include <string>
#include <vector>

#include "backups/http_exchange.h"
#include "resources/store.h"

namespace dbrestore::backups {

// An endpoint whose host begins with the bucket's name is asked for "endpoint/key" (virtual-host style), any
// other one for "endpoint/bucket/key" (path style). `key` is without the location's prefix.
std::string s3_object_url(const resources::S3Location& location, const std::string& key);

// `continuation`: empty for the first page.
std::string s3_list_url(const resources::S3Location& location, const std::string& continuation);

struct S3Page {
    std::vector<resources::Backup> backups;
    std::string continuation;  // empty: it was the last one
};

// Errors: invalid where the document is no listing.
base::Result<S3Page> s3_page(const resources::S3Location& location, const std::string& document);

// The URL of what lies below an HTTP server's directory.
std::string http_object_url(const resources::HttpLocation& location, const std::string& path);

// The prefix as a folder: empty, or with a slash at its end.
std::string s3_folder(const resources::S3Location& location);

}  // namespace dbrestore::backups
