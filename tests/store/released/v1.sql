-- A database as version 1 wrote it. Never edit it: a released version stays as it was.
CREATE TABLE migrations (version INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_ns INTEGER);
INSERT INTO "migrations" VALUES(1,'runs, cursors, faults, fences and notes',1764000000000000000);
CREATE TABLE runs (
                run TEXT PRIMARY KEY NOT NULL, place INTEGER NOT NULL, entry TEXT NOT NULL, crc INTEGER NOT NULL
            ) WITHOUT ROWID;
CREATE TABLE resumable (
                run TEXT PRIMARY KEY NOT NULL, place INTEGER NOT NULL, entry TEXT NOT NULL, crc INTEGER NOT NULL
            ) WITHOUT ROWID;
CREATE TABLE cursors (
                recorder TEXT NOT NULL, stream TEXT NOT NULL, next_index INTEGER NOT NULL,
                acknowledged_ns INTEGER NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (recorder, stream)
            ) WITHOUT ROWID;
CREATE TABLE faults (
                id INTEGER PRIMARY KEY NOT NULL, kind TEXT NOT NULL, device TEXT NOT NULL, text TEXT NOT NULL,
                hint TEXT NOT NULL, detail TEXT NOT NULL, raised_ns INTEGER NOT NULL, last_ns INTEGER NOT NULL,
                count INTEGER NOT NULL, cause_gone INTEGER NOT NULL, acknowledged_ns INTEGER,
                acknowledged_by TEXT NOT NULL, crc INTEGER NOT NULL
            );
CREATE TABLE fences (
                lease_group TEXT PRIMARY KEY NOT NULL, number INTEGER NOT NULL, crc INTEGER NOT NULL
            ) WITHOUT ROWID;
CREATE TABLE notes (
                name TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL, crc INTEGER NOT NULL
            ) WITHOUT ROWID;
CREATE UNIQUE INDEX one_open_fault ON faults (kind, device) WHERE acknowledged_ns IS NULL;
INSERT INTO "cursors" VALUES('disk','pstat-1',1200,1764000000000000000,3040014953);
INSERT INTO "cursors" VALUES('disk','stage-1',7,1764000000000000000,2797118310);
INSERT INTO "faults" VALUES(1,'limit','pstat','5.1 V is above 4.2 V','Look.','{"v": 5.1}',10,10,1,1,30,'ana',313880514);
INSERT INTO "faults" VALUES(2,'lost','stage','unplugged','','{}',20,20,1,0,NULL,'',2481081260);
INSERT INTO "fences" VALUES('pstat',1,2623866141);
INSERT INTO "fences" VALUES('stage',2,2013115815);
INSERT INTO "notes" VALUES('epoch','1',399229704);
INSERT INTO "notes" VALUES('stopped','{"clean": true}',2714973167);
INSERT INTO "resumable" VALUES('20251231-235959-9',1,'{"saved": [[[], {"step": 2}]], "status": "failed"}',1589700231);
INSERT INTO "runs" VALUES('20260101-000000-1',1,'{"procedure": "cycle", "devices": {"potentiostat": "pstat"}, "saved": [[["first"], {"turn": 3}]]}',1846212650);
INSERT INTO "runs" VALUES('20260101-000001-2',2,'{"procedure": "rest"}',2614747359);
PRAGMA user_version = 1;
