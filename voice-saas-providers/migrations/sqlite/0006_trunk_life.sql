-- Why a trunk could not be set up; and a number has one trunk until that is wholly gone.

ALTER TABLE trunks ADD COLUMN failure TEXT;
DROP INDEX trunks_of_number;
CREATE UNIQUE INDEX trunks_of_number ON trunks (tenant_id, number_id) WHERE status NOT IN ('failed', 'deleted');
