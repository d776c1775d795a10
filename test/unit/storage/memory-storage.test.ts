/**
 * The contract of storages, on the one in memory.
 */
import t from 'tap';
import { openMemoryStorage } from '../../../storage/memory-storage.ts';
import { contractTests } from './contract.ts';

contractTests(t, async () => openMemoryStorage());
