#pragma once
// The queries of the handover. They use nothing but pg_catalog, since the new database may hold planted
// functions.

namespace dbrestore::agent {

// All that has an owner or privileges. Members of extensions and built-in objects (is_given) keep their
// owner, and count only where somebody has changed their privileges; columns only where they have any.
// COLUMNS and CHOSEN are replaced: the old database is asked for what there is to carry over, the new one for
// all that exists.
inline constexpr const char* owned_objects = R"sql(
WITH all_objects(classid, objid, objsubid, keyword, owner, acl) AS (
    SELECT 'pg_namespace'::regclass::oid, oid, 0, 'SCHEMA', nspowner, nspacl FROM pg_namespace
        WHERE nspname !~ '^pg_(temp|toast)'
    UNION ALL SELECT 'pg_class'::regclass, c.oid, 0, CASE relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, relowner, relacl
        FROM pg_class c WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND relnamespace <> 'pg_toast'::regnamespace AND relpersistence <> 't'
    UNION ALL SELECT 'pg_class'::regclass, attrelid, attnum, 'COLUMN', relowner, attacl
        FROM pg_attribute JOIN pg_class c ON c.oid = attrelid WHERE NOT attisdropped AND COLUMNS
    UNION ALL SELECT 'pg_proc'::regclass, oid, 0, 'ROUTINE', proowner, proacl FROM pg_proc
    UNION ALL SELECT 'pg_type'::regclass, t.oid, 0, 'TYPE', typowner, typacl FROM pg_type t
        WHERE typtype = ANY ('{b,d,e,r,c}'::"char"[] || CASE WHEN current_setting('server_version_num')::integer < 170000 THEN 'm'::"char" END) AND typisdefined
          AND NOT EXISTS (SELECT FROM pg_type element WHERE element.typarray = t.oid)
          AND (typtype <> 'c' OR EXISTS (SELECT FROM pg_class c WHERE c.oid = typrelid AND relkind = 'c'))
    UNION ALL SELECT 'pg_operator'::regclass, oid, 0, 'OPERATOR', oprowner, NULL FROM pg_operator
    UNION ALL SELECT 'pg_opclass'::regclass, oid, 0, 'OPERATOR CLASS', opcowner, NULL FROM pg_opclass
    UNION ALL SELECT 'pg_opfamily'::regclass, oid, 0, 'OPERATOR FAMILY', opfowner, NULL FROM pg_opfamily
    UNION ALL SELECT 'pg_collation'::regclass, oid, 0, 'COLLATION', collowner, NULL FROM pg_collation
    UNION ALL SELECT 'pg_conversion'::regclass, oid, 0, 'CONVERSION', conowner, NULL FROM pg_conversion
    UNION ALL SELECT 'pg_ts_dict'::regclass, oid, 0, 'TEXT SEARCH DICTIONARY', dictowner, NULL FROM pg_ts_dict
    UNION ALL SELECT 'pg_ts_config'::regclass, oid, 0, 'TEXT SEARCH CONFIGURATION', cfgowner, NULL FROM pg_ts_config
    UNION ALL SELECT 'pg_largeobject'::regclass, oid, 0, 'LARGE OBJECT', lomowner, lomacl FROM pg_largeobject_metadata
    UNION ALL SELECT 'pg_foreign_data_wrapper'::regclass, oid, 0, 'FOREIGN DATA WRAPPER', fdwowner, fdwacl FROM pg_foreign_data_wrapper
    UNION ALL SELECT 'pg_foreign_server'::regclass, oid, 0, 'FOREIGN SERVER', srvowner, srvacl FROM pg_foreign_server
    UNION ALL SELECT 'pg_language'::regclass, oid, 0, 'LANGUAGE', lanowner, lanacl FROM pg_language
    UNION ALL SELECT 'pg_statistic_ext'::regclass, oid, 0, 'STATISTICS', stxowner, NULL FROM pg_statistic_ext
    UNION ALL SELECT 'pg_publication'::regclass, oid, 0, 'PUBLICATION', pubowner, NULL FROM pg_publication
), judged AS (
    SELECT o.*, i.initprivs,
           (o.objid < 16384 AND o.keyword <> 'LARGE OBJECT' AND NOT (o.keyword = 'SCHEMA' AND o.objid = 'public'::regnamespace))
           OR EXISTS (SELECT FROM pg_depend d WHERE d.classid = o.classid AND d.objid = o.objid AND d.deptype = 'e') AS is_given,
           o.keyword = 'SEQUENCE' AND EXISTS (SELECT FROM pg_depend d WHERE d.classid = o.classid AND d.objid = o.objid
               AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')) AS follows_table
    FROM all_objects o LEFT JOIN pg_init_privs i ON (i.classoid, i.objoid, i.objsubid) = (o.classid, o.objid, o.objsubid)
), chosen AS (
    SELECT * FROM judged WHERE CHOSEN
)
)sql";

inline constexpr const char* columns_to_carry = "attacl IS NOT NULL";
inline constexpr const char* columns_that_exist = "attnum > 0 AND relkind IN ('r', 'p', 'v', 'm', 'f')";
inline constexpr const char* chosen_to_carry = "NOT is_given OR acl IS DISTINCT FROM initprivs";
inline constexpr const char* chosen_that_exist = "true";

// (keyword, identity, column, owner, whether the owner is ours to carry, whether there is an ACL)
inline constexpr const char* select_owners = R"sql(
SELECT keyword, CASE keyword WHEN 'COLUMN' THEN objid::regclass::text ELSE i.identity END,
       coalesce((SELECT attname FROM pg_attribute WHERE keyword = 'COLUMN' AND attrelid = objid AND attnum = objsubid), ''),
       pg_get_userbyid(owner), NOT is_given AND NOT follows_table AND keyword <> 'COLUMN', acl IS NOT NULL
FROM chosen CROSS JOIN pg_identify_object(classid, objid, objsubid) i ORDER BY keyword = 'COLUMN', keyword <> 'SCHEMA', classid, objid
)sql";

// (keyword, identity) of what an ordinary role may own.
inline constexpr const char* select_lendable = R"sql(
SELECT keyword, i.identity FROM chosen CROSS JOIN pg_identify_object(classid, objid, objsubid) i
WHERE NOT is_given AND NOT follows_table AND keyword NOT IN ('COLUMN', 'FOREIGN DATA WRAPPER')
    AND NOT EXISTS (SELECT FROM pg_publication p WHERE keyword = 'PUBLICATION' AND p.oid = objid AND puballtables)
ORDER BY keyword <> 'SCHEMA', classid, objid
)sql";

// (keyword, identity, column, grantor or empty where it is the owner, grantee or empty for PUBLIC, privilege,
// grantable), each after the one that allows it.
inline constexpr const char* select_grants = R"sql(
SELECT keyword, CASE keyword WHEN 'COLUMN' THEN objid::regclass::text ELSE i.identity END,
       coalesce((SELECT attname FROM pg_attribute WHERE keyword = 'COLUMN' AND attrelid = objid AND attnum = objsubid), ''),
       CASE WHEN e.grantor = owner THEN '' ELSE pg_get_userbyid(e.grantor) END,
       CASE e.grantee WHEN 0 THEN '' ELSE pg_get_userbyid(e.grantee) END, e.privilege_type, e.is_grantable
FROM chosen CROSS JOIN pg_identify_object(classid, objid, objsubid) i
CROSS JOIN aclexplode(acl) WITH ORDINALITY AS e(grantor, grantee, privilege_type, is_grantable, ordinality)
WHERE acl IS NOT NULL ORDER BY keyword <> 'SCHEMA', keyword = 'COLUMN', classid, objid, objsubid, e.grantor <> owner, e.ordinality
)sql";

// (role, schema as an identifier or empty, kind of object, grantee, privilege, grantable); a row without
// privilege stands for a default that was taken away whole.
inline constexpr const char* select_default_privileges = R"sql(
SELECT pg_get_userbyid(defaclrole), coalesce((SELECT quote_ident(nspname) FROM pg_namespace n WHERE n.oid = defaclnamespace), ''),
       CASE defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN 'ROUTINES' WHEN 'T' THEN 'TYPES'
            WHEN 'n' THEN 'SCHEMAS' ELSE 'LARGE OBJECTS' END,
       CASE e.grantee WHEN 0 THEN '' ELSE pg_get_userbyid(e.grantee) END, coalesce(e.privilege_type, ''), coalesce(e.is_grantable, false)
FROM pg_default_acl LEFT JOIN LATERAL aclexplode(defaclacl) WITH ORDINALITY AS e(grantor, grantee, privilege_type, is_grantable, ordinality) ON true
ORDER BY pg_default_acl.oid, e.ordinality
)sql";

// (grantor or empty, grantee, privilege, grantable) of the database named by $1.
inline constexpr const char* select_database_grants = R"sql(
SELECT CASE WHEN e.grantor = datdba THEN '' ELSE pg_get_userbyid(e.grantor) END,
       CASE e.grantee WHEN 0 THEN '' ELSE pg_get_userbyid(e.grantee) END, e.privilege_type, e.is_grantable
FROM pg_database CROSS JOIN aclexplode(coalesce(datacl, acldefault('d', datdba))) WITH ORDINALITY AS e(grantor, grantee, privilege_type, is_grantable, ordinality)
WHERE datname = $1 ORDER BY e.grantor <> datdba, e.ordinality
)sql";

}  // namespace dbrestore::agent
