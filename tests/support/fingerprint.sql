-- What a database holds, as sorted text lines, so that two databases are compared by content: data, definitions, owners,
-- privileges, settings. Run by psql -qAtX -f fingerprint.sql DATABASE as a superuser. The database's own name is left out.
SET search_path = pg_catalog;
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET intervalstyle = 'postgres';
SET extra_float_digits = 1;
SET bytea_output = 'hex';
SET row_security = off;
SET statement_timeout = 0;

CREATE FUNCTION pg_temp.acl(items aclitem[], kind "char", owner oid) RETURNS text LANGUAGE sql AS $$
    SELECT coalesce(string_agg(item::text, ',' ORDER BY item::text COLLATE "C"), '') FROM unnest(coalesce(items, acldefault(kind, owner))) AS item $$;
CREATE FUNCTION pg_temp.is_ours(class oid, object oid) RETURNS boolean LANGUAGE sql AS $$
    SELECT (object >= 16384 OR (class = 'pg_namespace'::regclass AND object = 'public'::regnamespace))
       AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = class AND objid = object AND deptype = 'e') $$;

-- Rows of each table: how many, and a sum of hashes that does not depend on their order.
SELECT format('SELECT %L, count(*), sum(hashtextextended(t::text, 0)::numeric) FROM ONLY %s t', 'data ' || c.oid::regclass, c.oid::regclass)
FROM pg_class c WHERE relkind IN ('r', 'm') AND (relkind <> 'm' OR relispopulated) AND pg_temp.is_ours('pg_class'::regclass, c.oid)
    AND relpersistence <> 't' AND relnamespace <> 'information_schema'::regnamespace ORDER BY c.oid::regclass::text \gexec
SELECT format('SELECT %L, last_value, is_called FROM %s', 'sequence ' || c.oid::regclass, c.oid::regclass)
FROM pg_class c WHERE relkind = 'S' AND pg_temp.is_ours('pg_class'::regclass, c.oid) ORDER BY c.oid::regclass::text \gexec
SELECT 'large object ' || oid, md5(lo_get(oid)), pg_get_userbyid(lomowner), pg_temp.acl(lomacl, 'L', lomowner),
       obj_description(oid, 'pg_largeobject') FROM pg_largeobject_metadata ORDER BY oid;

-- Relations and columns
SELECT 'relation ' || c.oid::regclass, relkind, relpersistence, pg_get_userbyid(relowner), relrowsecurity, relforcerowsecurity, relreplident,
       relispopulated, reloptions, pg_get_expr(relpartbound, c.oid), pg_get_partkeydef(c.oid),
       pg_temp.acl(relacl, CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", relowner),
       (SELECT string_agg(inhparent::regclass::text, ',' ORDER BY inhseqno) FROM pg_inherits WHERE inhrelid = c.oid),
       CASE WHEN relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) END
FROM pg_class c WHERE relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND pg_temp.is_ours('pg_class'::regclass, c.oid) AND relpersistence <> 't' ORDER BY 1;
SELECT 'column ' || attrelid::regclass || '.' || quote_ident(attname), format_type(atttypid, atttypmod), attnotnull, attidentity, attgenerated,
       attstorage, coalesce(attstattarget, -1), attcollation::regcollation, pg_get_expr(adbin, adrelid), (SELECT string_agg(a::text, ',' ORDER BY a::text COLLATE "C") FROM unnest(attacl) AS a)
FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid LEFT JOIN pg_attrdef d ON adrelid = attrelid AND adnum = attnum
WHERE attnum > 0 AND NOT attisdropped AND relkind IN ('r', 'p', 'v', 'm', 'f', 'c') AND pg_temp.is_ours('pg_class'::regclass, attrelid) AND relpersistence <> 't' ORDER BY 1;
SELECT 'sequence definition ' || seqrelid::regclass, seqtypid::regtype, seqstart, seqincrement, seqmax, seqmin, seqcache, seqcycle
FROM pg_sequence WHERE pg_temp.is_ours('pg_class'::regclass, seqrelid) ORDER BY 1;
SELECT 'index ' || indexrelid::regclass, pg_get_indexdef(indexrelid), indisvalid, indisclustered, indisreplident
FROM pg_index WHERE pg_temp.is_ours('pg_class'::regclass, indrelid) AND indrelid::regclass::text NOT LIKE 'pg_toast%' ORDER BY 1;
SELECT 'constraint ' || coalesce(nullif(conrelid, 0)::regclass::text, contypid::regtype::text) || ' ' || quote_ident(conname), pg_get_constraintdef(oid), convalidated
FROM pg_constraint WHERE pg_temp.is_ours('pg_constraint'::regclass, oid) ORDER BY 1;
SELECT 'trigger ' || pg_get_triggerdef(oid), tgenabled FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1;
SELECT 'rule ' || pg_get_ruledef(oid), ev_enabled FROM pg_rewrite WHERE rulename <> '_RETURN' AND pg_temp.is_ours('pg_rewrite'::regclass, oid) ORDER BY 1;
SELECT 'policy ' || polrelid::regclass || ' ' || quote_ident(polname), polcmd, polpermissive, (SELECT string_agg(coalesce(nullif(r, 0)::regrole::text, 'public'), ',' ORDER BY 1) FROM unnest(polroles) r),
       pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid) FROM pg_policy ORDER BY 1;
SELECT 'statistics ' || pg_get_statisticsobjdef(oid), pg_get_userbyid(stxowner) FROM pg_statistic_ext ORDER BY 1;

-- Routines, types and what else has a name
SELECT 'schema ' || quote_ident(nspname), pg_get_userbyid(nspowner), pg_temp.acl(nspacl, 'n', nspowner) FROM pg_namespace
WHERE pg_temp.is_ours('pg_namespace'::regclass, oid) AND nspname !~ '^pg_(temp|toast)' ORDER BY 1;
SELECT 'routine ' || oid::regprocedure, pg_get_userbyid(proowner), pg_temp.acl(proacl, 'f', proowner),
       CASE WHEN prokind = 'a' THEN 'aggregate' ELSE pg_get_functiondef(oid) END
FROM pg_proc WHERE pg_temp.is_ours('pg_proc'::regclass, oid) AND pronamespace::regnamespace::text !~ '^pg_temp' ORDER BY 1;
SELECT 'type ' || oid::regtype, typtype, pg_get_userbyid(typowner), pg_temp.acl(typacl, 'T', typowner), typdefault, typnotnull, format_type(typbasetype, typtypmod),
       (SELECT string_agg(enumlabel, ',' ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = t.oid)
FROM pg_type t WHERE pg_temp.is_ours('pg_type'::regclass, oid) AND typtype IN ('d', 'e', 'r', 'm', 'c') AND typnamespace <> 'pg_toast'::regnamespace
    AND NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = typrelid AND relpersistence = 't') ORDER BY 1;
SELECT 'operator ' || oid::regoperator, oprcode, pg_get_userbyid(oprowner) FROM pg_operator WHERE pg_temp.is_ours('pg_operator'::regclass, oid) ORDER BY 1;
SELECT 'cast ' || castsource::regtype || ' ' || casttarget::regtype, castfunc::regproc, castcontext FROM pg_cast WHERE pg_temp.is_ours('pg_cast'::regclass, oid) ORDER BY 1;
SELECT 'collation ' || oid::regcollation, collprovider, collcollate, pg_get_userbyid(collowner) FROM pg_collation WHERE pg_temp.is_ours('pg_collation'::regclass, oid) ORDER BY 1;
SELECT 'dictionary ' || oid::regdictionary, dictinitoption, pg_get_userbyid(dictowner) FROM pg_ts_dict WHERE pg_temp.is_ours('pg_ts_dict'::regclass, oid) ORDER BY 1;
SELECT 'configuration ' || c.oid::regconfig, pg_get_userbyid(cfgowner), string_agg(maptokentype || ':' || mapdict::regdictionary, ',' ORDER BY maptokentype, mapseqno)
FROM pg_ts_config c JOIN pg_ts_config_map ON mapcfg = c.oid WHERE pg_temp.is_ours('pg_ts_config'::regclass, c.oid) GROUP BY c.oid, cfgowner ORDER BY 1;
SELECT 'extension ' || extname, extnamespace::regnamespace, extversion FROM pg_extension ORDER BY 1;
SELECT 'publication ' || quote_ident(pubname), pg_get_userbyid(pubowner), puballtables, pubinsert, pubupdate, pubdelete, pubtruncate,
       (SELECT string_agg(prrelid::regclass || coalesce(' ' || pg_get_expr(prqual, prrelid), ''), ',' ORDER BY prrelid::regclass::text) FROM pg_publication_rel WHERE prpubid = p.oid)
FROM pg_publication p ORDER BY 1;
SELECT 'default privileges ' || defaclrole::regrole, coalesce(nullif(defaclnamespace, 0)::regnamespace::text, ''), defaclobjtype,
       (SELECT string_agg(a::text, ',' ORDER BY a::text COLLATE "C") FROM unnest(defaclacl) AS a) FROM pg_default_acl ORDER BY 1, 2, 3;
SELECT 'comment ' || i.type || ' ' || i.identity, description FROM pg_description CROSS JOIN pg_identify_object(classoid, objoid, objsubid) i
WHERE pg_temp.is_ours(classoid, objoid) OR classoid = 'pg_extension'::regclass ORDER BY 1;

-- The database itself
SELECT 'database', pg_get_userbyid(datdba), pg_temp.acl(datacl, 'd', datdba), pg_encoding_to_char(encoding), datcollate, datctype, datconnlimit, datallowconn,
       datistemplate, shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = current_database();
SELECT 'setting', coalesce(nullif(setrole, 0)::regrole::text, ''), unnest(setconfig) FROM pg_db_role_setting JOIN pg_database d ON d.oid = setdatabase
WHERE datname = current_database() ORDER BY 1, 2, 3;
