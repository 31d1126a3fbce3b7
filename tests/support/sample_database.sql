-- A realistic database for tests and for the quickstart. Run it by psql as a superuser in an empty database:
--   psql -v ON_ERROR_STOP=1 -v scale=1000 -f sample_database.sql DATABASE
-- `scale` is the number of orders; each takes about 1 kB with its lines, indexes and events, so 1000000 makes about 1 GB.
-- The content depends on nothing but `scale`. Roles are made where they are missing, since they belong to the cluster.
\set ON_ERROR_STOP 1
SET client_min_messages = warning;
SET synchronous_commit = off;

DO $$
DECLARE wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['shop_owner', 'shop_writer', 'shop_reader', 'Prüfer "intern"'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
            EXECUTE format('CREATE ROLE %I', wanted);
        END IF;
    END LOOP;
END $$;

SELECT current_database() AS this_database \gset
COMMENT ON DATABASE :"this_database" IS 'shop''s own database';
ALTER DATABASE :"this_database" CONNECTION LIMIT 90;
ALTER DATABASE :"this_database" SET search_path = shop, public;
ALTER DATABASE :"this_database" SET timezone = 'Europe/Paris';
ALTER DATABASE :"this_database" SET lock_timeout = '30s';
ALTER ROLE shop_reader IN DATABASE :"this_database" SET statement_timeout = '15s';
REVOKE CONNECT, TEMPORARY ON DATABASE :"this_database" FROM PUBLIC;
GRANT CONNECT ON DATABASE :"this_database" TO shop_reader, shop_writer;
GRANT CREATE, CONNECT ON DATABASE :"this_database" TO shop_owner WITH GRANT OPTION;

CREATE EXTENSION pg_trgm;
CREATE EXTENSION pgcrypto WITH SCHEMA public;
CREATE SCHEMA "Zusätze";
CREATE EXTENSION hstore WITH SCHEMA "Zusätze";
COMMENT ON EXTENSION hstore IS 'attributes of customers';
COMMENT ON SCHEMA public IS 'what extensions bring';

SET timezone = 'UTC';
SET search_path = pg_catalog;
CREATE SCHEMA shop AUTHORIZATION shop_owner;
CREATE SCHEMA audit AUTHORIZATION shop_writer;
CREATE SCHEMA "Größe & ""Co""";
COMMENT ON SCHEMA shop IS E'two\nlines; and a ''quote''';
GRANT USAGE ON SCHEMA shop TO shop_reader, shop_writer;
GRANT USAGE ON SCHEMA "Größe & ""Co""" TO "Prüfer ""intern""";
ALTER DEFAULT PRIVILEGES FOR ROLE shop_owner IN SCHEMA shop GRANT SELECT ON TABLES TO shop_reader;
ALTER DEFAULT PRIVILEGES FOR ROLE shop_owner GRANT EXECUTE ON FUNCTIONS TO shop_writer WITH GRANT OPTION;
ALTER DEFAULT PRIVILEGES FOR ROLE shop_owner REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;

-- Types
CREATE DOMAIN shop.email AS text CHECK (VALUE ~ '^[^@[:space:]]+@[^@[:space:]]+$');
CREATE DOMAIN shop.amount AS numeric(12, 2) DEFAULT 0 NOT NULL CONSTRAINT amount_not_negative CHECK (VALUE >= 0);
CREATE TYPE shop.order_state AS ENUM ('new', 'paid', 'sent', 'zurück');
CREATE TYPE shop.address AS (street text, city text, zip text);
CREATE TYPE shop.price_range AS RANGE (subtype = numeric);
CREATE COLLATION shop.byte_order (provider = libc, locale = 'C');
COMMENT ON TYPE shop.order_state IS 'life of an order';
REVOKE USAGE ON TYPE shop.address FROM PUBLIC;
GRANT USAGE ON TYPE shop.address TO shop_writer;

CREATE SEQUENCE shop.receipt_number START 100000 INCREMENT 10 CACHE 5;

-- Functions that tables use. The body of normalized() names another function without its schema, as users do.
CREATE FUNCTION shop.squeeze(value text) RETURNS text LANGUAGE sql IMMUTABLE STRICT
    AS $$ SELECT regexp_replace(value, '\s+', ' ', 'g') $$;
CREATE FUNCTION shop.normalized(value text) RETURNS text LANGUAGE plpgsql IMMUTABLE STRICT
    SET search_path = shop, pg_temp AS $$ BEGIN RETURN lower(squeeze(value)); END $$;
CREATE FUNCTION shop.next_number() RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path = shop, pg_temp
    AS $$ SELECT nextval('shop.receipt_number') $$;
CREATE FUNCTION shop.state_order(shop.order_state) RETURNS integer LANGUAGE sql IMMUTABLE
    AS $$ SELECT CASE $1 WHEN 'new' THEN 1 WHEN 'paid' THEN 2 WHEN 'sent' THEN 3 ELSE 4 END $$;
CREATE AGGREGATE shop.longest(text) (SFUNC = text_larger, STYPE = text);
CREATE FUNCTION shop.near(a numeric, b numeric) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$ SELECT abs(a - b) < 1 $$;
CREATE OPERATOR shop.<~> (LEFTARG = numeric, RIGHTARG = numeric, FUNCTION = shop.near, COMMUTATOR = OPERATOR(shop.<~>));
CREATE CAST (shop.order_state AS integer) WITH FUNCTION shop.state_order(shop.order_state) AS ASSIGNMENT;
CREATE TEXT SEARCH DICTIONARY shop.words (TEMPLATE = pg_catalog.simple, STOPWORDS = english);
CREATE TEXT SEARCH CONFIGURATION shop.search (COPY = pg_catalog.english);
ALTER TEXT SEARCH CONFIGURATION shop.search ALTER MAPPING FOR asciiword WITH shop.words;

-- Tables
CREATE TABLE shop.customers (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    email shop.email NOT NULL,
    name text COLLATE shop.byte_order NOT NULL,
    search_name text GENERATED ALWAYS AS (shop.normalized(name)) STORED,
    home shop.address,
    attributes "Zusätze".hstore,
    token uuid NOT NULL,
    created_at timestamptz NOT NULL,
    referred_by bigint REFERENCES shop.customers,
    favourite_order bigint
);
CREATE TABLE shop.products (
    id integer PRIMARY KEY,
    title text NOT NULL,
    price shop.amount,
    tags text[] NOT NULL DEFAULT '{}',
    details jsonb NOT NULL DEFAULT '{}',
    words tsvector GENERATED ALWAYS AS (to_tsvector('english', title)) STORED,
    CONSTRAINT title_is_not_empty CHECK (length(title) > 0)
);
CREATE TABLE shop.orders (
    id bigint NOT NULL,
    customer_id bigint NOT NULL,
    state shop.order_state NOT NULL DEFAULT 'new',
    placed_at timestamptz NOT NULL,
    receipt bigint DEFAULT nextval('shop.receipt_number'),
    note text,
    PRIMARY KEY (id, placed_at),
    FOREIGN KEY (customer_id) REFERENCES shop.customers ON DELETE CASCADE
) PARTITION BY RANGE (placed_at);
CREATE TABLE shop.orders_2024 PARTITION OF shop.orders FOR VALUES FROM ('2024-01-01+00') TO ('2025-01-01+00');
CREATE TABLE shop.orders_2025 PARTITION OF shop.orders FOR VALUES FROM ('2025-01-01+00') TO ('2026-01-01+00')
    PARTITION BY HASH (id);
CREATE TABLE shop.orders_2025_a PARTITION OF shop.orders_2025 FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE shop.orders_2025_b PARTITION OF shop.orders_2025 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE shop.orders_other PARTITION OF shop.orders DEFAULT;
CREATE TABLE shop.order_lines (
    order_id bigint NOT NULL,
    placed_at timestamptz NOT NULL,
    line integer NOT NULL,
    product_id integer NOT NULL REFERENCES shop.products,
    quantity integer NOT NULL CHECK (quantity > 0),
    price shop.amount,
    total numeric GENERATED ALWAYS AS (quantity * price::numeric) STORED,
    PRIMARY KEY (order_id, line),
    FOREIGN KEY (order_id, placed_at) REFERENCES shop.orders (id, placed_at)
);
CREATE TABLE shop.events (
    id bigserial PRIMARY KEY,
    at timestamptz NOT NULL,
    payload text NOT NULL,
    digest bytea
);
CREATE UNLOGGED TABLE shop.sessions (id integer PRIMARY KEY, data text);
CREATE TABLE audit.changes (
    at timestamptz NOT NULL DEFAULT '2025-06-01 00:00:00+00',
    what text NOT NULL,
    rows bigint
);
CREATE TABLE "Größe & ""Co"""."Maße 'alt'" (
    "Schlüssel " integer PRIMARY KEY,
    "Spalte ""mit"" 'allem'; --" text,
    "日本語" text DEFAULT '値',
    "SELECT" boolean
);
CREATE TABLE "Größe & ""Co""".child_of_old (extra integer) INHERITS ("Größe & ""Co"""."Maße 'alt'");
CREATE TABLE shop.documents (id integer PRIMARY KEY, body oid NOT NULL);
CREATE TABLE shop.empty_table ();

-- Data
INSERT INTO shop.customers (email, name, home, attributes, token, created_at, referred_by)
    SELECT 'customer' || n || '@example.test', 'Kunde  Nr. ' || n || chr(228 + n % 3) || '	tab',
           ROW('Straße ' || n, CASE n % 3 WHEN 0 THEN 'Zürich' WHEN 1 THEN 'Strasbourg' ELSE NULL END, lpad(n::text, 5, '0'))::shop.address,
           "Zusätze".hstore(ARRAY['vip', (n % 7 = 0)::text, 'größe', md5(n::text)]),
           md5('token' || n)::uuid, timestamptz '2024-01-01 00:00+00' + n * interval '7 minutes', NULLIF((n - 1) / 10, 0)
    FROM generate_series(1, greatest(:scale / 10, 10)) AS n;
INSERT INTO shop.products (id, title, price, tags, details)
    SELECT n, 'Product ' || n || ' ' || substr(md5(n::text), 1, 6) || ' running shoes', (n % 1000) + 0.99,
           ARRAY['tag' || n % 5, 'späti'], jsonb_build_object('weight', n % 50, 'name', 'Größe ' || n)
    FROM generate_series(1, greatest(:scale / 100, 20)) AS n;
INSERT INTO shop.orders (id, customer_id, state, placed_at, note)
    SELECT n, 1 + n % greatest(:scale / 10, 10), (enum_range(NULL::shop.order_state))[1 + n % 4],
           timestamptz '2024-01-01 00:00+00' + (n % 900) * interval '1 day' + (n % 1440) * interval '1 minute',
           CASE WHEN n % 4 = 0 THEN NULL ELSE 'note \N ' || md5(n::text) || E'\\ \t' END
    FROM generate_series(1, :scale) AS n;
INSERT INTO shop.order_lines (order_id, placed_at, line, product_id, quantity, price)
    SELECT o.id, o.placed_at, line, 1 + (o.id * line) % greatest(:scale / 100, 20), line, (o.id % 500) + 0.5
    FROM shop.orders o, generate_series(1, 3) AS line;
INSERT INTO shop.events (at, payload, digest)
    SELECT timestamptz '2024-01-01 00:00+00' + n * interval '1 second',
           repeat(md5(n::text), 3) || md5('b' || n) || md5('c' || n) || md5('d' || n) || md5('e' || n), decode(md5('f' || n), 'hex')
    FROM generate_series(1, :scale) AS n;
INSERT INTO shop.sessions SELECT n, md5(n::text) FROM generate_series(1, 20) AS n;
INSERT INTO audit.changes (what, rows) VALUES ('load', :scale);
INSERT INTO "Größe & ""Co"""."Maße 'alt'" VALUES (1, E'a\\b\nc', '日', true), (2, NULL, DEFAULT, NULL), (3, '', '\.', false);
INSERT INTO "Größe & ""Co""".child_of_old VALUES (4, 'child', '子', true, 7);
INSERT INTO shop.documents (id, body)
    SELECT n, lo_from_bytea(500000 + n, decode(repeat(md5(n::text), 200 * n), 'hex')) FROM generate_series(1, 12) AS n;
UPDATE shop.customers SET favourite_order = id WHERE id <= 10;

-- What depends on data
ALTER TABLE shop.customers ADD CONSTRAINT customers_email_key UNIQUE (email);
CREATE INDEX customers_name_trgm ON shop.customers USING gin (search_name public.gin_trgm_ops);
CREATE INDEX customers_attributes ON shop.customers USING gist (attributes);
CREATE UNIQUE INDEX customers_token ON shop.customers (public.digest(token::text, 'sha256'));
CREATE INDEX products_words ON shop.products USING gin (words);
CREATE INDEX orders_customer ON shop.orders (customer_id, placed_at DESC) INCLUDE (state) WHERE state <> 'zurück';
CREATE INDEX events_digest ON shop.events USING hash (digest);
CREATE INDEX events_at ON shop.events USING brin (at);
CREATE STATISTICS shop.orders_by_customer (dependencies, ndistinct) ON customer_id, state FROM shop.orders_2024;
ALTER TABLE shop.order_lines ADD CONSTRAINT one_product_per_line EXCLUDE USING btree (order_id WITH =, line WITH =)
    DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE shop.orders ADD CONSTRAINT note_is_short CHECK (length(note) < 1000) NOT VALID;
ALTER TABLE shop.customers CLUSTER ON customers_pkey;
ALTER TABLE shop.events ALTER COLUMN payload SET STORAGE EXTERNAL, ALTER COLUMN payload SET STATISTICS 200;
ALTER TABLE shop.events SET (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.1);
ALTER TABLE shop.products REPLICA IDENTITY FULL;

CREATE VIEW shop.open_orders WITH (security_barrier) AS
    SELECT o.id, o.placed_at, c.name, c.attributes OPERATOR("Zusätze".->) 'vip' AS vip
    FROM shop.orders o JOIN shop.customers c ON c.id = o.customer_id WHERE o.state IN ('new', 'paid');
CREATE VIEW shop.vip_orders AS SELECT * FROM shop.open_orders WHERE vip = 'true' WITH CASCADED CHECK OPTION;
CREATE RULE vip_orders_are_read_only AS ON DELETE TO shop.vip_orders DO INSTEAD NOTHING;
CREATE MATERIALIZED VIEW shop.sales AS
    SELECT product_id, sum(total) AS total, shop.longest(p.title) AS title
    FROM shop.order_lines l JOIN shop.products p ON p.id = l.product_id GROUP BY product_id;
CREATE UNIQUE INDEX sales_product ON shop.sales (product_id);
CREATE MATERIALIZED VIEW shop.best_sales AS SELECT * FROM shop.sales WHERE total > 1000;
CREATE MATERIALIZED VIEW shop.not_filled AS SELECT count(*) AS orders FROM shop.orders WITH NO DATA;

CREATE FUNCTION audit.note_change() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    INSERT INTO audit.changes (what, rows) SELECT TG_OP || ' ' || TG_TABLE_NAME, count(*) FROM changed;
    RETURN NULL;
END $$;
CREATE FUNCTION shop.check_quantity() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.quantity > 1000 THEN RAISE EXCEPTION 'too many: %', NEW.quantity; END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER note_change AFTER UPDATE ON shop.customers REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION audit.note_change();
CREATE TRIGGER check_quantity BEFORE INSERT OR UPDATE OF quantity ON shop.order_lines
    FOR EACH ROW WHEN (NEW.quantity > 10) EXECUTE FUNCTION shop.check_quantity();
CREATE TRIGGER "ausgeschaltet" BEFORE UPDATE ON shop.products FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger();
ALTER TABLE shop.products DISABLE TRIGGER "ausgeschaltet";
CREATE CONSTRAINT TRIGGER check_later AFTER INSERT ON shop.order_lines DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION shop.check_quantity();
CREATE PROCEDURE shop.forget_customer(customer bigint) LANGUAGE sql
    BEGIN ATOMIC DELETE FROM shop.customers WHERE id = customer; END;

ALTER TABLE shop.orders ENABLE ROW LEVEL SECURITY;
ALTER TABLE shop.events ENABLE ROW LEVEL SECURITY;
ALTER TABLE shop.events FORCE ROW LEVEL SECURITY;
CREATE POLICY readers_see_sent ON shop.orders FOR SELECT TO shop_reader USING (state = 'sent');
CREATE POLICY "alles für Prüfer" ON shop.events AS PERMISSIVE TO "Prüfer ""intern""" USING (true) WITH CHECK (length(payload) > 0);
SET client_min_messages = error;
CREATE PUBLICATION shop_changes FOR TABLE shop.customers, shop.products WHERE (id > 10) WITH (publish = 'insert, update');

RESET client_min_messages;

-- Owners and privileges; what is not named here belongs to the superuser who runs this
DO $$
DECLARE item record;
BEGIN
    FOR item IN SELECT c.oid::regclass AS name, c.relkind FROM pg_class c
                WHERE relnamespace = 'shop'::regnamespace AND relkind IN ('r', 'p', 'v', 'm') AND relname <> 'sessions' LOOP
        EXECUTE format('ALTER %s %s OWNER TO shop_owner',
            CASE item.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' ELSE 'TABLE' END, item.name);
    END LOOP;
    FOR item IN SELECT p.oid::regprocedure AS name FROM pg_proc p
                WHERE pronamespace = 'shop'::regnamespace AND prokind IN ('f', 'p') AND proname <> 'near' LOOP
        EXECUTE format('ALTER ROUTINE %s OWNER TO shop_owner', item.name);
    END LOOP;
END $$;
ALTER AGGREGATE shop.longest(text) OWNER TO shop_writer;
ALTER OPERATOR shop.<~> (numeric, numeric) OWNER TO shop_owner;
ALTER TYPE shop.order_state OWNER TO shop_owner;
ALTER DOMAIN shop.email OWNER TO shop_owner;
ALTER TYPE shop.price_range OWNER TO shop_writer;
ALTER COLLATION shop.byte_order OWNER TO shop_owner;
ALTER TEXT SEARCH DICTIONARY shop.words OWNER TO shop_owner;
ALTER TEXT SEARCH CONFIGURATION shop.search OWNER TO shop_writer;
ALTER SEQUENCE shop.receipt_number OWNER TO shop_owner;
ALTER PUBLICATION shop_changes OWNER TO shop_owner;
ALTER TABLE audit.changes OWNER TO shop_writer;
ALTER FUNCTION audit.note_change() OWNER TO shop_writer;
ALTER STATISTICS shop.orders_by_customer OWNER TO shop_owner;
ALTER LARGE OBJECT 500001 OWNER TO shop_writer;
ALTER LARGE OBJECT 500002 OWNER TO shop_owner;
COMMENT ON LARGE OBJECT 500002 IS 'contract';
GRANT SELECT ON LARGE OBJECT 500001 TO shop_reader;
GRANT UPDATE ON LARGE OBJECT 500003 TO shop_writer WITH GRANT OPTION;

GRANT SELECT, INSERT, UPDATE, DELETE ON shop.orders, shop.order_lines, shop.events TO shop_writer;
GRANT SELECT ON shop.events TO PUBLIC;
GRANT SELECT (id, name), UPDATE (name) ON shop.customers TO shop_writer;
GRANT SELECT ("Schlüssel ", "日本語") ON "Größe & ""Co"""."Maße 'alt'" TO "Prüfer ""intern""";
GRANT USAGE ON SEQUENCE shop.receipt_number TO shop_writer;
GRANT ALL ON shop.products TO shop_writer WITH GRANT OPTION;
SET ROLE shop_writer;
GRANT SELECT ON shop.products TO "Prüfer ""intern""";
RESET ROLE;
REVOKE EXECUTE ON FUNCTION shop.next_number() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION shop.next_number() TO shop_writer;
REVOKE ALL ON PROCEDURE shop.forget_customer(bigint) FROM PUBLIC;
COMMENT ON COLUMN "Größe & ""Co"""."Maße 'alt'"."日本語" IS 'コメント';
COMMENT ON CONSTRAINT title_is_not_empty ON shop.products IS 'as agreed';
COMMENT ON FUNCTION shop.near(numeric, numeric) IS 'for <~>';
COMMENT ON POLICY readers_see_sent ON shop.orders IS 'law';

REFRESH MATERIALIZED VIEW shop.best_sales;
SELECT setval('shop.receipt_number', 4242420, true) \g /dev/null
ANALYZE;
