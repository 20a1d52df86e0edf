-- Version 4: parts that several witnesses judged.
--
-- In rows of earlier versions, and of parts that the diffusion model judged alone, all four columns are NULL; the checksum
-- leaves them out then.

ALTER TABLE parts ADD COLUMN foundation_ns INTEGER;
ALTER TABLE parts ADD COLUMN latent_ns INTEGER;
ALTER TABLE parts ADD COLUMN bank_ns INTEGER;
-- The score of each witness, as in "diad=0.125 bank:dinov2-s=0.5".
ALTER TABLE parts ADD COLUMN witnesses TEXT;

ALTER TABLE late ADD COLUMN foundation_ns INTEGER;
ALTER TABLE late ADD COLUMN latent_ns INTEGER;
ALTER TABLE late ADD COLUMN bank_ns INTEGER;
ALTER TABLE late ADD COLUMN witnesses TEXT;
